package hnai.connect;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * How rows lead to the zone of their local times, from table to table. A step is {@code schema.table key column}.
 *
 * <p>It starts from what the source had when the connector was registered and learns from the rows that pass: a well
 * comes before the first reading that names it. What is once known is kept, so that a row deleted since still has a zone.
 */
final class Lookups {

    private record Step(String key, String column, Map<String, String> pairs) {}

    private final Map<String, Map<String, String>> pairs = new HashMap<>();
    private final Map<String, List<Step>> byTable = new HashMap<>();
    private final Map<String, ZoneId> zones = new HashMap<>();

    Lookups(JsonNode said) {
        said.fields().forEachRemaining(step -> {
            Map<String, String> known = new HashMap<>();
            step.getValue().fields().forEachRemaining(pair -> known.put(pair.getKey(), pair.getValue().asText()));
            pairs.put(step.getKey(), known);
            String[] parts = step.getKey().split(" ", 3);
            byTable.computeIfAbsent(parts[0], table -> new ArrayList<>()).add(new Step(parts[1], parts[2], known));
        });
    }

    void learn(String table, Map<?, ?> row) {
        for (Step step : byTable.getOrDefault(table, List.of())) {
            Object key = row.get(step.key());
            Object value = row.get(step.column());
            if (key != null && value != null) {
                step.pairs().putIfAbsent(key.toString(), value.toString());
            }
        }
    }

    /** The zone at the end of the first path that leads to one, or null. */
    ZoneId zone(List<List<String>> paths, String from) {
        for (List<String> path : paths) {
            String at = from;
            for (String step : path) {
                at = at == null ? null : pairs.get(step).get(at);
            }
            if (at != null) {
                return zones.computeIfAbsent(at, ZoneId::of);
            }
        }
        return null;
    }
}
