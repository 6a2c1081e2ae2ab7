// SPDX-License-Identifier: Apache-2.0
#include "middleware/api_body.h"

#include "middleware/api.h"
#include "middleware/json_limit.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct reader {
    const json_t *root;
    struct api_problems *problems;
    bool no_memory;
};

static void problem(struct reader *reader, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void problem(struct reader *reader, const char *field, const char *format, ...) {
    size_t n = reader->problems->count++;
    if (n >= API_PROBLEMS_MAX)
        return;
    snprintf(reader->problems->items[n].field, sizeof reader->problems->items[n].field, "%s", field);
    va_list args;
    va_start(args, format);
    vsnprintf(reader->problems->items[n].text, sizeof reader->problems->items[n].text, format, args);
    va_end(args);
    // What is quoted may be cut inside a character, and then no longer be UTF-8.
    for (char *c = reader->problems->items[n].text; *c; c++) {
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    }
}

static char *copy_text(struct reader *reader, const char *text) {
    char *copy = strdup(text);
    if (!copy)
        reader->no_memory = true;
    return copy;
}

// NULL when it is absent or null. Its name in another spelling is the same name.
static json_t *field_of(struct reader *reader, const json_t *object, const char *name) {
    if (platform_field_count(object, name) > 1)
        problem(reader, name, "The %s field is there more than once.", name);
    return platform_field(object, name);
}

static char *read_text(struct reader *reader, const char *field, bool number_ok) {
    const json_t *value = field_of(reader, reader->root, field);
    char digits[24];
    if (!value)
        return NULL;
    if (json_is_string(value))
        return json_string_length(value) ? copy_text(reader, json_string_value(value)) : NULL;
    if (number_ok && json_is_integer(value)) {
        snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return copy_text(reader, digits);
    }
    problem(reader, field, "The %s field must be a string%s.", field, number_ok ? " or a whole number" : "");
    return NULL;
}

// False when it is neither a whole number nor the text of one.
static bool whole_number(const json_t *value, int64_t *out) {
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    const char *text = json_string_value(value);
    if (!text)
        return false;
    struct span digits = span_str(text);
    uint64_t number;
    if (!span_u64(&digits, INT32_MAX, &number) || digits.len)
        return false;
    *out = (int64_t)number;
    return true;
}

static json_t *read_map(struct reader *reader, const char *field, bool required) {
    json_t *value = field_of(reader, reader->root, field);
    if (!value && required)
        problem(reader, field, "The %s field is required; pass {} when there is nothing to say.", field);
    if (!value)
        return json_object();
    if (!json_is_object(value)) {
        problem(reader, field, "The %s field must be an object of strings.", field);
        return json_object();
    }
    const char *name;
    json_t *item;
    json_object_foreach(value, name, item) {
        if (json_is_string(item))
            continue;
        problem(reader, field, "The %s field must hold strings only; \"%.40s\" is none.", field, name);
        break;
    }
    return json_incref(value);
}

static int read_transport(struct reader *reader) {
    const json_t *value = field_of(reader, reader->root, "transportType");
    const char *text = json_string_value(value);
    int64_t number = API_TRANSPORT_WEBSOCKET;
    if (text && strcasecmp(text, "WebRTC") == 0)
        return API_TRANSPORT_WEBRTC;
    if (text && strcasecmp(text, "WebSocket") == 0)
        return API_TRANSPORT_WEBSOCKET;
    if (value &&
        (!whole_number(value, &number) || number < API_TRANSPORT_WEBSOCKET || number > API_TRANSPORT_WEBRTC))
        problem(reader, "transportType", "The transportType field must be 0 (WebSocket) or 1 (WebRTC).");
    return (int)number;
}

static uint32_t read_number(struct reader *reader, const json_t *audio, const char *field, int64_t min,
                            int64_t max) {
    const json_t *value = field_of(reader, audio, field);
    int64_t number = 0;
    if (!value)
        return 0;
    if (!whole_number(value, &number) || number < min || number > max) {
        problem(reader, field, "The %s field must be a whole number from %lld to %lld.", field,
                (long long)min, (long long)max);
        return 0;
    }
    return (uint32_t)number;
}

static const json_t *read_audio_object(struct reader *reader, const char *field) {
    const json_t *audio = field_of(reader, reader->root, field);
    if (audio && !json_is_object(audio))
        problem(reader, field, "The %s field must be an object.", field);
    return json_is_object(audio) ? audio : NULL;
}

static struct platform_format read_format(struct reader *reader, const json_t *audio,
                                          const char *const fields[3]) {
    struct platform_format format = {
        .encoding = (int)read_number(reader, audio, fields[0], PLATFORM_PCM, PLATFORM_MPEG),
        .rate_hz = read_number(reader, audio, fields[1], 8000, 48000),
        .bits = read_number(reader, audio, fields[2], 8, 32),
    };
    return format;
}

static void read_audio_configuration(struct reader *reader, struct api_body *body) {
    static const char *const in[] = {"inputEncodingType", "inputSampleRate", "inputBitsPerSample"};
    static const char *const out[] = {"outputEncodingType", "outputSampleRate", "outputBitsPerSample"};
    const json_t *audio = read_audio_object(reader, "audioConfiguration");
    body->input = read_format(reader, audio, in);
    body->output = read_format(reader, audio, out);
}

static int read_codec(struct reader *reader, const json_t *audio, const char *field) {
    static const struct {
        const char *name;
        int encoding;
    } codecs[] = {{"PCM", PLATFORM_PCM},   {"MULAW", PLATFORM_MULAW}, {"PCMU", PLATFORM_MULAW},
                  {"ALAW", PLATFORM_ALAW}, {"PCMA", PLATFORM_ALAW},   {"G722", PLATFORM_G722},
                  {"OPUS", PLATFORM_OPUS}};
    const json_t *value = field_of(reader, audio, field);
    const char *name = json_string_value(value);
    for (size_t i = 0; name && i < sizeof codecs / sizeof codecs[0]; i++) {
        if (strcasecmp(name, codecs[i].name) == 0)
            return codecs[i].encoding;
    }
    if (value)
        problem(reader, field, "The %s field must be one of OPUS, MULAW, ALAW, G722, PCM.", field);
    return 0;
}

static void read_audio_config(struct reader *reader, struct api_body *body) {
    const json_t *audio = read_audio_object(reader, "audioConfig");
    body->input.encoding = read_codec(reader, audio, "inputCodec");
    body->output.encoding = read_codec(reader, audio, "outputCodec");
    body->input.rate_hz = read_number(reader, audio, "sampleRate", 8000, 48000);
    body->output.rate_hz = body->input.rate_hz;
}

static void read_body(struct reader *reader, enum api_shape shape, struct api_body *body) {
    bool request = shape == API_SHAPE_REQUEST;
    body->campaign_id = read_text(reader, "campaignId", !request);
    body->region_id = read_text(reader, "regionId", false);
    body->business_id = read_text(reader, "businessId", true);
    body->client_identifier = read_text(reader, "clientIdentifier", false);
    body->transport = read_transport(reader);
    body->dynamic_variables = read_map(reader, "dynamicVariables", request);
    body->metadata = read_map(reader, "metadata", request);
    if (request)
        read_audio_configuration(reader, body);
    else
        read_audio_config(reader, body);
    if (!body->dynamic_variables || !body->metadata)
        reader->no_memory = true;
}

static json_t *load(struct reader *reader, struct span text) {
    struct err_text why = {.text = ""};
    if (!span_trim(text).len) {
        problem(reader, "$", "A non-empty request body is required.");
        return NULL;
    }
    json_t *root = json_load_limited(text, &why);
    if (!root)
        problem(reader, "$", "The body cannot be read as JSON: %.110s.", why.text);
    else if (!json_is_object(root))
        problem(reader, "$", "The body must be a JSON object.");
    return root;
}

int api_body_parse(struct api_body *out, enum api_shape shape, struct span text,
                   struct api_problems *problems) {
    struct reader reader = {.problems = problems};
    struct api_body body = {0};
    *problems = (struct api_problems){0};
    json_t *root = load(&reader, text);
    if (!problems->count) {
        reader.root = root;
        read_body(&reader, shape, &body);
    }
    json_decref(root);
    if (!problems->count && !reader.no_memory) {
        *out = body;
        return 0;
    }
    api_body_clear(&body);
    return reader.no_memory ? -ENOMEM : -EINVAL;
}

void api_body_clear(struct api_body *body) {
    free(body->campaign_id);
    free(body->region_id);
    free(body->business_id);
    free(body->client_identifier);
    json_decref(body->dynamic_variables);
    json_decref(body->metadata);
    *body = (struct api_body){0};
}

static bool begins_character(char c) {
    return ((unsigned char)c & 0xc0) != 0x80;
}

// As .NET counts: a character beyond U+FFFF (four bytes in UTF-8) is two.
static size_t utf16_length(const char *text) {
    size_t units = 0;
    for (; *text; text++)
        units += (size_t)begins_character(*text) + ((unsigned char)*text >= 0xf0);
    return units;
}

int api_client_identifier(const char *identifier, const char *address, char *out, size_t out_size) {
    bool named = identifier && *identifier;
    for (const char *c = named ? identifier : ""; *c; c++) {
        if (*c == '/' || *c == '\\' || (unsigned char)*c < 0x20 || *c == 0x7f)
            return -EINVAL;
    }
    size_t units = utf16_length(address) + (named ? utf16_length(identifier) + 1 : 0);
    if (units > API_CLIENT_ID_MAX)
        return -EMSGSIZE;
    int len = snprintf(out, out_size, "%s%s%s", named ? identifier : "", named ? "_" : "", address);
    return len >= 0 && (size_t)len < out_size ? 0 : -EMSGSIZE;
}

void api_path_identifier(const char *identifier, char out[API_CLIENT_ID_MAX + 1]) {
    size_t n = 0;
    for (; *identifier && n < API_CLIENT_ID_MAX; identifier++) {
        bool plain = isalnum((unsigned char)*identifier) || strchr("-_.~:@", *identifier);
        if (begins_character(*identifier))
            out[n++] = plain ? *identifier : '_';
    }
    out[n] = '\0';
}
