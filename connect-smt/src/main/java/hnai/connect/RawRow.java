package hnai.connect;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.temporal.ChronoUnit;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.transforms.Transformation;

/**
 * Debezium's events of one source, JSON in the order of delivery, as rows of raw for the Iceberg sink.
 *
 * <p>It takes the bytes as they are in Kafka: Connect's own converter would make each value twice.
 *
 * <p>A row's place in the order is {@code (_epoch, _commit_lsn, _seq)}. An event does not know the commit of its own
 * transaction, but it knows that of the transaction delivered before it; the greater of that and its own LSN lies above
 * every row of all transactions before and below those of all after, and rises within its own.
 *
 * <p>{@code _route} names the table; with {@code +} behind it the row also goes to quarantine, whole and with its reason,
 * and with {@code !} it goes there alone.
 */
public final class RawRow implements Transformation<SinkRecord> {

    public static final String TABLES = "tables";
    public static final String LOOKUPS = "lookups";
    public static final String EPOCH = "epoch";
    public static final String VERSION = "version";

    private static final ConfigDef CONFIG = new ConfigDef()
            .define(TABLES, ConfigDef.Type.STRING, ConfigDef.Importance.HIGH, "The captured tables, as JSON.")
            .define(LOOKUPS, ConfigDef.Type.STRING, "{}", ConfigDef.Importance.HIGH, "What leads to zones, as JSON.")
            .define(EPOCH, ConfigDef.Type.LONG, ConfigDef.Importance.HIGH, "The number of the replication slot.")
            .define(VERSION, ConfigDef.Type.STRING, ConfigDef.Importance.HIGH, "Names this configuration; in _batch_id.");

    private final Map<String, Table> tables = new HashMap<>();
    private Lookups lookups;
    private long epoch;
    private String version;

    @Override
    public void configure(Map<String, ?> settings) {
        Map<String, Object> parsed = CONFIG.parse(settings);
        epoch = (Long) parsed.get(EPOCH);
        version = (String) parsed.get(VERSION);
        tables.clear();
        try {
            lookups = new Lookups(Json.read((String) parsed.get(LOOKUPS)));
            JsonNode said = Json.read((String) parsed.get(TABLES));
            said.fields().forEachRemaining(table -> tables.put(table.getKey(), new Table(table.getValue(), lookups)));
        } catch (RuntimeException e) {
            throw new ConfigException(TABLES, "…", "It cannot be read: " + e.getMessage());
        }
    }

    @Override
    public SinkRecord apply(SinkRecord record) {
        Map<?, ?> event = record.value() instanceof byte[] text ? Json.object(text) : Map.of();
        if (!(event.get("source") instanceof Map<?, ?> source)) {
            return null;
        }
        String operation = (String) event.get("op");
        String name = source.get("schema") + "." + source.get("table");
        Table table = tables.get(name);
        if (table == null || operation == null || operation.equals("m")) {
            return null;
        }
        boolean isDeleted = operation.equals("d");
        Map<?, ?> row = (Map<?, ?>) event.get(isDeleted ? "before" : "after");
        if (row != null && !isDeleted) {
            lookups.learn(name, row);
        }
        Table.Landed landed = table.land(row, isDeleted);
        Map<String, Object> values = landed.values();
        long lsn = number(source.get("lsn"));
        long place = number(((Map<?, ?>) event.get("transaction")).get("total_order"));
        values.put("_op", operation);
        values.put("_epoch", epoch);
        values.put("_commit_lsn", Math.max(lsn, lastCommit(source, record.kafkaOffset(), place)));
        values.put("_lsn", lsn);
        values.put("_seq", place);
        values.put("_unchanged", landed.unchanged());
        values.put("_source_at", instant(number(source.get("ts_us"))));
        values.put("_landed_at", OffsetDateTime.now(ZoneOffset.UTC).truncatedTo(ChronoUnit.MICROS));
        values.put("_batch_id", version);
        String suffix = "";
        if (landed.reason() != null) {
            suffix = landed.isLanded() ? "+" : "!";
            values.put("_row", table.whole(row, isDeleted));
            values.put("_reason", landed.reason());
        }
        values.put("_route", table.identifier + suffix);
        return record.newRecord(
                record.topic(), record.kafkaPartition(), null, null, null, values, record.timestamp(), record.headers());
    }

    /**
     * The commit delivered before this event. Only the first transaction of a topic has none: where another lacks it,
     * the connector's offsets were lost, and rows that it brings again would get a second position.
     */
    private static long lastCommit(Map<?, ?> source, long offset, long place) {
        Object sequence = source.get("sequence");
        JsonNode parts = sequence instanceof String text ? Json.read(text) : Json.read("[null]");
        if (!parts.get(0).isNull()) {
            return parts.get(0).asLong();
        }
        if (offset < place) {
            return 0;
        }
        throw new DataException("The stream began anew within its topic: the source connector's offsets were lost. "
                + "Clear `register`: it begins a new epoch and has every table loaded again.");
    }

    private static long number(Object value) {
        return ((Number) value).longValue();
    }

    private static OffsetDateTime instant(long microseconds) {
        return Instant.EPOCH.plus(microseconds, ChronoUnit.MICROS).atOffset(ZoneOffset.UTC);
    }

    @Override
    public ConfigDef config() {
        return CONFIG;
    }

    @Override
    public void close() {}
}
