package hnai.connect;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * One column of a raw table: its name, the name by which the sink finds it, the type that raw keeps, and the type that the
 * source has.
 *
 * <p>Values come as Debezium writes them to JSON: exact decimals and times as text, bytes as base64. What cannot be
 * kept exactly is refused with {@link IllegalArgumentException} or {@link ArithmeticException}; nothing is rounded.
 */
record Column(String name, String as, String kind, String sourceType) {

    static final String UNCHANGED = "__debezium_unavailable_value";
    private static final String UNCHANGED_BYTES = Base64.getEncoder().encodeToString(UNCHANGED.getBytes());
    private static final Set<String> KINDS = Set.of("string", "int32", "int64", "bool", "float", "double", "binary",
            "date32[day]", "timestamp[us]", "timestamp[us, tz=UTC]");
    private static final Pattern DECIMAL = Pattern.compile("decimal128\\((\\d+), (\\d+)\\)");

    Column {
        if (!KINDS.contains(kind) && !DECIMAL.matcher(kind).matches()) {
            throw new IllegalArgumentException("raw has no kind " + kind + ", which " + name + " is said to be of");
        }
    }

    static Column of(JsonNode said) {
        return new Column(
                said.get("name").asText(), said.get("as").asText(), said.get("kind").asText(), said.get("type").asText());
    }

    boolean isText() {
        return kind.equals("string");
    }

    boolean isBytes() {
        return kind.equals("binary");
    }

    /** Whether the source did not send the value again, as it lies out of line and has not changed. */
    boolean isUnchanged(Object value) {
        if (!isText() && !isBytes()) {
            return false;
        }
        return UNCHANGED.equals(value) || UNCHANGED_BYTES.equals(value) || List.of(UNCHANGED).equals(value);
    }

    /** The value as the Iceberg sink takes it for a column of this kind. */
    Object convert(Object value) {
        if (value == null) {
            return null;
        }
        return switch (kind) {
            case "string" -> text(value);
            case "int32" -> Math.toIntExact(whole(value));
            case "int64" -> whole(value);
            case "bool" -> flag(value);
            case "float" -> (float) real(value);
            case "double" -> real(value);
            case "binary" -> ByteBuffer.wrap(Base64.getDecoder().decode((String) value));
            case "date32[day]" -> day(string(value));
            case "timestamp[us]" -> instant(string(value)).atZoneSameInstant(ZoneOffset.UTC).toLocalDateTime();
            case "timestamp[us, tz=UTC]" -> instant(string(value)).withOffsetSameInstant(ZoneOffset.UTC);
            default -> decimal(value);
        };
    }

    private Object text(Object value) {
        if (value instanceof String text) {
            return switch (sourceType) {
                case "time", "timestamp" -> text.endsWith("Z") ? text.substring(0, text.length() - 1) : text;
                case "bpchar" -> withoutBlanks(text); // trailing blanks of char(n) mean nothing
                default -> text;
            };
        }
        return value instanceof List || value instanceof Map ? Json.write(value) : value.toString();
    }

    private static String withoutBlanks(String text) {
        int end = text.length();
        while (end > 0 && text.charAt(end - 1) == ' ') {
            end--;
        }
        return text.substring(0, end);
    }

    private static long whole(Object value) {
        if (value instanceof Long || value instanceof Integer || value instanceof Short || value instanceof Byte) {
            return ((Number) value).longValue();
        }
        if (value instanceof Number || value instanceof String) {
            return new BigDecimal(value.toString()).longValueExact();
        }
        throw new IllegalArgumentException("not a whole number");
    }

    private static boolean flag(Object value) {
        if (value instanceof Boolean is) {
            return is;
        }
        throw new IllegalArgumentException("not a boolean");
    }

    private static double real(Object value) {
        if (value instanceof Number number) {
            return number.doubleValue();
        }
        return Double.parseDouble(string(value));
    }

    private static String string(Object value) {
        if (value instanceof String text) {
            return text;
        }
        throw new IllegalArgumentException("not a text");
    }

    private static LocalDate day(String text) {
        String day = text.endsWith("Z") ? text.substring(0, text.length() - 1) : text;
        if (day.length() != 10) { // years of more digits, and of before Christ, are those of an infinite date
            throw new IllegalArgumentException("not a date");
        }
        return LocalDate.parse(day);
    }

    private static OffsetDateTime instant(String text) {
        if (text.length() < 11 || text.charAt(4) != '-') {
            throw new IllegalArgumentException("not a time");
        }
        return OffsetDateTime.parse(text.charAt(10) == ' ' ? text.replace(' ', 'T') : text);
    }

    private BigDecimal decimal(Object value) {
        Matcher type = DECIMAL.matcher(kind);
        type.matches();
        BigDecimal exact = new BigDecimal(value.toString()).setScale(Integer.parseInt(type.group(2)));
        if (exact.precision() > Integer.parseInt(type.group(1))) {
            throw new ArithmeticException("too many digits");
        }
        return exact;
    }

    /** The wall-clock time of a value that {@link #convert} gave, or null where it is none. */
    static LocalDateTime wallClock(Object converted) {
        return converted instanceof LocalDateTime local ? local : null;
    }
}
