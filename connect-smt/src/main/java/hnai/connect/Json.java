package hnai.connect;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.Map;
import org.apache.kafka.connect.errors.DataException;

/** Compact JSON, by the library that Kafka Connect itself uses. */
final class Json {

    private static final ObjectMapper MAPPER = new ObjectMapper();

    private Json() {}

    static String write(Object value) {
        try {
            return MAPPER.writeValueAsString(value);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(e);
        }
    }

    /** A JSON object as a map in the order of its fields, empty where the text is no object. */
    static Map<?, ?> object(byte[] text) {
        try {
            return MAPPER.readValue(text, Object.class) instanceof Map<?, ?> object ? object : Map.of();
        } catch (IOException e) {
            throw new DataException("An event is not JSON", e);
        }
    }

    static JsonNode read(String text) {
        try {
            return MAPPER.readTree(text);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(e);
        }
    }
}
