package hnai.connect;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.DateTimeException;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.time.zone.ZoneOffsetTransition;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** What is declared of one captured table, and how a row of it becomes a row of raw. */
final class Table {

    /** A row of raw without its position. {@code reason} says why it goes to quarantine too, {@code isLanded} if it lands. */
    record Landed(Map<String, Object> values, String unchanged, String reason, boolean isLanded) {}

    final String identifier;
    private final Map<String, Column> columns = new LinkedHashMap<>();
    private final Set<String> identity;
    private final Set<String> localTimes = new HashSet<>();
    private final Set<String> quarantining = new HashSet<>();
    private final boolean quarantinesByDefault;
    private final ZoneId zone;
    private final String zoneColumn;
    private final List<List<String>> zonePaths = new ArrayList<>();
    private final Lookups lookups;

    Table(JsonNode said, Lookups lookups) {
        this.lookups = lookups;
        identifier = said.get("identifier").asText();
        for (JsonNode column : said.get("columns")) {
            columns.put(column.get("name").asText(), Column.of(column));
        }
        identity = said.path("identity").isArray() ? texts(said.get("identity")) : null;
        localTimes.addAll(texts(said.path("local_times")));
        zoneColumn = said.path("zone_column").asText(null);
        zone = zoneColumn == null ? ZoneId.of(said.path("zone").asText("UTC")) : null;
        for (JsonNode path : said.path("zone_paths")) {
            List<String> steps = new ArrayList<>();
            path.forEach(step -> steps.add(step.asText()));
            zonePaths.add(steps);
        }
        JsonNode drift = said.path("drift");
        quarantinesByDefault = drift.path("default").asText().equals("quarantine");
        drift.fields().forEachRemaining(policy -> {
            if (policy.getValue().asText().equals("quarantine") != quarantinesByDefault) {
                quarantining.add(policy.getKey());
            }
        });
    }

    private static Set<String> texts(JsonNode list) {
        Set<String> found = new HashSet<>();
        list.forEach(text -> found.add(text.asText()));
        return found;
    }

    /** Convert a row. Of a deleted one only the columns of the replica identity are told; the rest is made up. */
    Landed land(Map<?, ?> row, boolean isDeleted) {
        Map<String, Object> values = new HashMap<>();
        if (row == null) {
            return new Landed(values, null, null, true);
        }
        String unchanged = null;
        String reason = null;
        boolean isLanded = true;
        Set<String> strange = strange(row, isDeleted);
        if (!strange.isEmpty()) {
            isLanded = false;
            reason = "the source has columns that this table's drift policy sets aside: " + String.join(", ", strange);
        }
        for (Column column : columns.values()) {
            if (isDeleted && identity != null && !identity.contains(column.name())) {
                continue;
            }
            Object value = row.get(column.name());
            if (column.isUnchanged(value)) {
                unchanged = unchanged == null ? column.name() : unchanged + "," + column.name();
                continue;
            }
            try {
                values.put(column.as(), column.convert(value));
            } catch (IllegalArgumentException | ArithmeticException | DateTimeException | ClassCastException e) {
                String shown = Json.write(value);
                shown = shown.length() > 80 ? shown.substring(0, 80) : shown;
                reason = column.name() + ": " + shown + " does not fit " + column.kind();
            }
        }
        for (String name : localTimes) {
            LocalDateTime local = Column.wallClock(values.get(name));
            ZoneId of = local == null ? null : zoneOf(row);
            if (of != null) {
                values.put(name + "_utc", toUtc(local, of));
            }
        }
        return new Landed(values, unchanged, reason, isLanded);
    }

    private Set<String> strange(Map<?, ?> row, boolean isDeleted) {
        Set<String> found = new TreeSet<>();
        if (isDeleted && identity != null) {
            return found;
        }
        for (Object key : row.keySet()) {
            String name = (String) key;
            if (!columns.containsKey(name) && quarantining.contains(name) != quarantinesByDefault) {
                found.add(name);
            }
        }
        return found;
    }

    private ZoneId zoneOf(Map<?, ?> row) {
        if (zoneColumn == null) {
            return zone;
        }
        Object value = row.get(zoneColumn);
        return value == null ? null : lookups.zone(zonePaths, value.toString());
    }

    /**
     * The instant of a wall-clock time. Of the hour that autumn shows twice the first is taken; a time that spring skips
     * is read by the offset that held before. The offset before the transition gives both.
     */
    static OffsetDateTime toUtc(LocalDateTime local, ZoneId zone) {
        ZoneOffsetTransition transition = zone.getRules().getTransition(local);
        ZoneOffset offset = transition == null ? zone.getRules().getOffset(local) : transition.getOffsetBefore();
        return local.atOffset(offset).withOffsetSameInstant(ZoneOffset.UTC);
    }

    /** The row as it came, as compact JSON. */
    String whole(Map<?, ?> row, boolean isDeleted) {
        Map<Object, Object> told = new LinkedHashMap<>(row);
        if (isDeleted && identity != null) {
            told.keySet().retainAll(identity);
        }
        return Json.write(told);
    }
}
