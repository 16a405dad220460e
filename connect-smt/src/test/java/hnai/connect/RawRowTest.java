package hnai.connect;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.sink.SinkRecord;
import org.junit.jupiter.api.Test;

class RawRowTest {

    private static final long PREVIOUS_COMMIT = 1_000;

    private static String column(String name, String kind, String type) {
        return "{'name': '%s', 'as': '%s', 'kind': '%s', 'type': '%s'}".formatted(name, name, kind, type);
    }

    private static RawRow transform(String options, String... columns) {
        String tables = "{'public.t': {'identifier': 's__t', 'columns': [%s] %s}}"
                .formatted(String.join(", ", columns), options);
        RawRow transform = new RawRow();
        transform.configure(Map.of("tables", tables.replace('\'', '"'), "epoch", "3", "version", "v1"));
        return transform;
    }

    private static Map<String, Object> event(String op, Map<String, ?> row, long lsn, String sequence, int place) {
        Map<String, Object> source = new HashMap<>();
        source.put("schema", "public");
        source.put("table", "t");
        source.put("lsn", lsn);
        source.put("sequence", sequence);
        source.put("ts_us", 1_700_000_000_123_456L);
        Map<String, Object> event = new HashMap<>();
        event.put("op", op);
        event.put(op.equals("d") ? "before" : "after", row);
        event.put("source", source);
        event.put("transaction", Map.of("total_order", (long) place));
        return event;
    }

    private static Map<?, ?> landed(RawRow transform, Map<String, Object> event, long offset) {
        SinkRecord record = new SinkRecord(
                "s.changes", 0, null, null, null, Json.write(event).getBytes(UTF_8), offset, 5L, TimestampType.CREATE_TIME);
        SinkRecord made = transform.apply(record);
        return made == null ? null : (Map<?, ?>) made.value();
    }

    private static Map<?, ?> created(RawRow transform, Map<String, ?> row) {
        return landed(transform, event("c", row, 2_000, "[\"" + PREVIOUS_COMMIT + "\",\"2000\"]", 1), 77);
    }

    @Test
    void everyKindArrivesExactly() {
        RawRow transform = transform(
                "",
                column("n", "decimal128(20, 8)", "numeric"),
                column("i", "int32", "int2"),
                column("l", "int64", "int8"),
                column("f", "float", "float4"),
                column("flag", "bool", "bool"),
                column("day", "date32[day]", "date"),
                column("local", "timestamp[us]", "timestamp"),
                column("zoned", "timestamp[us, tz=UTC]", "timestamptz"),
                column("bytes", "binary", "bytea"),
                column("clock", "string", "time"),
                column("fixed", "string", "bpchar"),
                column("words", "string", "_text"));
        Map<String, Object> row = new HashMap<>();
        row.put("n", "12345678.9");
        row.put("i", -3L);
        row.put("l", 9_000_000_000L);
        row.put("f", 0.1);
        row.put("flag", true);
        row.put("day", "2024-02-29Z");
        row.put("local", "2024-03-31T02:30:00.123456Z");
        row.put("zoned", "2024-10-27T02:30:00.654321+02:00");
        row.put("bytes", Base64.getEncoder().encodeToString(new byte[] {0, -1}));
        row.put("clock", "10:11:12.5Z");
        row.put("fixed", "ab   ");
        row.put("words", List.of("x", "y \"z\""));

        Map<?, ?> raw = created(transform, row);

        assertEquals(new BigDecimal("12345678.90000000"), raw.get("n"));
        assertEquals(-3, raw.get("i"));
        assertEquals(9_000_000_000L, raw.get("l"));
        assertEquals(0.1f, raw.get("f"));
        assertEquals(true, raw.get("flag"));
        assertEquals(LocalDate.of(2024, 2, 29), raw.get("day"));
        assertEquals(LocalDateTime.parse("2024-03-31T02:30:00.123456"), raw.get("local"));
        assertEquals(OffsetDateTime.parse("2024-10-27T00:30:00.654321Z"), raw.get("zoned"));
        assertEquals(ByteBuffer.wrap(new byte[] {0, -1}), raw.get("bytes"));
        assertEquals("10:11:12.5", raw.get("clock"));
        assertEquals("ab", raw.get("fixed"));
        assertEquals("[\"x\",\"y \\\"z\\\"\"]", raw.get("words"));
        assertEquals("s__t", raw.get("_route"));
        assertNull(raw.get("_unchanged"));
    }

    @Test
    void thePositionLiesBetweenTheCommitsAroundIt() {
        RawRow transform = transform("", column("id", "int32", "int4"));

        Map<?, ?> late = landed(transform, event("u", Map.of("id", 1L), 2_000, "[\"1000\",\"2000\"]", 4), 9);
        Map<?, ?> early = landed(transform, event("u", Map.of("id", 1L), 500, "[\"1000\",\"500\"]", 4), 9);

        assertEquals(2_000L, late.get("_commit_lsn"));
        assertEquals(1_000L, early.get("_commit_lsn")); // begun before, committed after the transaction at 1000
        assertEquals(500L, early.get("_lsn"));
        assertEquals(4L, early.get("_seq"));
        assertEquals(3L, early.get("_epoch"));
        assertEquals("v1", early.get("_batch_id"));
        assertEquals(OffsetDateTime.parse("2023-11-14T22:13:20.123456Z"), early.get("_source_at"));
    }

    @Test
    void onlyTheFirstTransactionOfATopicMayLackTheCommitBefore() {
        RawRow transform = transform("", column("id", "int32", "int4"));
        Map<String, Object> third = event("c", Map.of("id", 1L), 2_000, "[null,\"2000\"]", 3);

        assertEquals(2_000L, landed(transform, third, 2).get("_commit_lsn"));
        DataException lost = assertThrows(DataException.class, () -> landed(transform, third, 3));
        assertTrue(lost.getMessage().contains("began anew within its topic"));
    }

    @Test
    void aDeletedRowTellsItsIdentityAlone() {
        Map<String, Object> before = new HashMap<>(Map.of("id", 1L, "v", "", "n", 0L));
        String[] columns = {column("id", "int32", "int4"), column("v", "string", "text"), column("n", "int32", "int4")};
        Map<String, Object> event = event("d", before, 2_000, "[\"1000\",\"2000\"]", 1);

        Map<?, ?> byKey = landed(transform(", 'identity': ['id']", columns), event, 9);
        Map<?, ?> whole = landed(transform(", 'identity': null", columns), event, 9);

        assertEquals(1, byKey.get("id"));
        assertNull(byKey.get("v"));
        assertNull(byKey.get("n"));
        assertEquals("", whole.get("v"));
    }

    @Test
    void aTruncateIsARowWithoutValues() {
        Map<?, ?> row = landed(
                transform("", column("id", "int32", "int4")), event("t", null, 2_000, "[\"1000\",\"2000\"]", 2), 9);

        assertEquals("t", row.get("_op"));
        assertNull(row.get("id"));
        assertEquals("s__t", row.get("_route"));
    }

    @Test
    void whatTheSourceDidNotSendAgainIsNamed() {
        RawRow transform = transform(
                "", column("id", "int32", "int4"), column("note", "string", "text"), column("raw", "binary", "bytea"),
                column("words", "string", "_text"), column("other", "string", "text"));
        Map<String, Object> row = new HashMap<>();
        row.put("id", 1L);
        row.put("note", Column.UNCHANGED);
        row.put("raw", Base64.getEncoder().encodeToString(Column.UNCHANGED.getBytes()));
        row.put("words", List.of(Column.UNCHANGED));
        row.put("other", null);

        Map<?, ?> raw = created(transform, row);

        assertEquals("note,raw,words", raw.get("_unchanged"));
        assertNull(raw.get("note"));
        assertNull(raw.get("raw"));
    }

    @Test
    void whatRawCannotHoldBecomesNullAndTheRowGoesToQuarantineToo() {
        RawRow transform = transform(
                "", column("id", "int32", "int4"), column("n", "decimal128(10, 2)", "numeric"),
                column("d", "date32[day]", "date"), column("t", "timestamp[us]", "timestamp"));
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("id", 1L);
        row.put("n", "NaN");
        row.put("d", "1.1.2024");
        row.put("t", "+294247-01-10T04:00:54.775807Z");

        Map<?, ?> raw = created(transform, row);

        assertEquals(1, raw.get("id"));
        assertNull(raw.get("n"));
        assertNull(raw.get("d"));
        assertNull(raw.get("t"));
        assertEquals("s__t+", raw.get("_route"));
        assertTrue(((String) raw.get("_row")).startsWith("{\"id\":1,\"n\":\"NaN\",\"d\":\"1.1.2024\","));
        assertEquals(
                "t: \"+294247-01-10T04:00:54.775807Z\" does not fit timestamp[us]", raw.get("_reason"));
    }

    @Test
    void aColumnThatQuarantineAlsoHasComesByAnotherName() {
        RawRow transform = transform("", "{'name': 'reason', 'as': '=reason', 'kind': 'date32[day]', 'type': 'date'}");

        Map<?, ?> raw = created(transform, Map.of("reason", "2024-01-01Z"));

        assertEquals(LocalDate.of(2024, 1, 1), raw.get("=reason"));
        assertNull(raw.get("reason"));
    }

    @Test
    void nothingIsRoundedAndNoDigitIsLost() {
        RawRow transform = transform("", column("n", "decimal128(5, 2)", "numeric"), column("i", "int32", "int4"));

        assertEquals(new BigDecimal("999.90"), created(transform, Map.of("n", "999.900")).get("n"));
        assertEquals("s__t+", created(transform, Map.of("n", "1.255")).get("_route"));
        assertEquals("s__t+", created(transform, Map.of("n", "1000")).get("_route"));
        assertEquals("s__t+", created(transform, Map.of("i", 3_000_000_000L)).get("_route"));
    }

    @Test
    void aNewColumnWaitsOrSetsTheRowAsideAsItsPolicySays() {
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("id", 2L);
        row.put("secretive", "s");
        String id = column("id", "int32", "int4");

        Map<?, ?> waits = created(transform(", 'drift': {'default': 'evolve'}", id), row);
        Map<?, ?> aside = created(transform(", 'drift': {'default': 'evolve', 'secretive': 'quarantine'}", id), row);
        Map<?, ?> let = created(transform(", 'drift': {'default': 'quarantine', 'secretive': 'freeze'}", id), row);

        assertEquals("s__t", waits.get("_route"));
        assertEquals("s__t!", aside.get("_route"));
        assertEquals("{\"id\":2,\"secretive\":\"s\"}", aside.get("_row"));
        assertTrue(((String) aside.get("_reason")).contains("secretive"));
        assertEquals("s__t", let.get("_route"));
    }

    @Test
    void aLocalTimeHasItsInstantBesideIt() {
        RawRow oslo = transform(", 'local_times': ['at'], 'zone': 'Europe/Oslo'", column("at", "timestamp[us]", "timestamp"));

        // of the hour that autumn shows twice, the first; in the hour that spring skips, by the offset before
        assertEquals(OffsetDateTime.parse("2024-10-27T00:30:00Z"),
                created(oslo, Map.of("at", "2024-10-27T02:30:00Z")).get("at_utc"));
        assertEquals(OffsetDateTime.parse("2024-03-31T01:30:00.123456Z"),
                created(oslo, Map.of("at", "2024-03-31T02:30:00.123456Z")).get("at_utc"));
    }

    @Test
    void aRowsZoneIsThatOfItsOwnFieldAndNewFieldsAreLearnt() {
        String tables = """
                {'public.t': {'identifier': 's__t', 'local_times': ['at'], 'zone_column': 'well',
                  'zone_paths': [['public.wells id field', 'public.fields code zone']],
                  'columns': [{'name': 'well', 'as': 'well', 'kind': 'int32', 'type': 'int4'},
                              {'name': 'at', 'as': 'at', 'kind': 'timestamp[us]', 'type': 'timestamp'}]},
                 'public.wells': {'identifier': 's__wells', 'columns': [{'name': 'id', 'as': 'id', 'kind': 'int32', 'type': 'int4'}]}}
                """;
        String lookups = "{'public.wells id field': {'7': 'F'}, 'public.fields code zone': {'F': 'America/Chicago'}}";
        RawRow transform = new RawRow();
        transform.configure(Map.of("tables", tables.replace('\'', '"'), "lookups", lookups.replace('\'', '"'),
                "epoch", "3", "version", "v1"));
        Map<String, ?> ofNew = Map.of("well", 8L, "at", "2024-07-01T12:00:00Z");
        Map<String, Object> well = event("c", Map.of("id", 8L, "field", "F"), 2_000, "[\"1000\",\"2000\"]", 1);
        ((Map<String, Object>) well.get("source")).put("table", "wells");

        Map<?, ?> known = created(transform, Map.of("well", 7L, "at", "2024-07-01T12:00:00Z"));
        Map<?, ?> before = created(transform, ofNew);
        landed(transform, well, 9);
        Map<?, ?> after = created(transform, ofNew);

        assertEquals(OffsetDateTime.parse("2024-07-01T17:00:00Z"), known.get("at_utc"));
        assertNull(before.get("at_utc"));
        assertEquals(OffsetDateTime.parse("2024-07-01T17:00:00Z"), after.get("at_utc"));
    }

    @Test
    void whatIsNoRowOfADeclaredTableIsLeftOut() {
        RawRow transform = transform("", column("id", "int32", "int4"));
        Map<String, Object> other = event("c", Map.of("id", 1L), 1, "[\"1\",\"1\"]", 1);
        ((Map<String, Object>) other.get("source")).put("table", "other");

        assertNull(landed(transform, other, 9));
        assertNull(landed(transform, event("m", Map.of(), 1, "[\"1\",\"1\"]", 1), 9));
        assertNull(landed(transform, new HashMap<>(Map.of("status", "BEGIN")), 9));
    }

    @Test
    void aKindThatRawDoesNotHaveIsRefusedAtOnce() {
        assertThrows(ConfigException.class, () -> transform("", column("id", "int7", "int4")));
    }
}
