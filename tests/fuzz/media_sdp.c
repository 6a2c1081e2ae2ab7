// SPDX-License-Identifier: Apache-2.0
// SDP in, the choice made and the answer's lines written: nothing may be read or written out of bounds, and
// every span must lie within the text.
#include "media/sdp_nego.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum codec_id codecs[] = {CODEC_OPUS, CODEC_PCMU, CODEC_PCMA, CODEC_G722};

static void check(struct span text, struct span part) {
    if (part.len && (part.ptr < text.ptr || part.ptr + part.len > text.ptr + text.len))
        abort();
}

static void check_media(struct span text, const struct sdp_media *media) {
    check(text, media->text);
    check(text, media->mid);
    check(text, media->msid);
    check(text, media->cname);
    check(text, media->connection.address);
    check(text, media->transport.ice_pwd);
    struct span cursor = media->text, value;
    while (sdp_next_candidate(&cursor, &value))
        check(text, value);
    cursor = media->text;
    while (sdp_next_attribute(&cursor, "crypto", &value))
        check(text, value);
    for (size_t i = 0; i < media->format_count; i++) {
        check(text, media->formats[i].fmtp);
        sdp_fmtp_param(media->formats[i].fmtp, "useinbandfec", &value);
    }
}

static void answer(const struct sdp *sdp, enum sdp_nego_order order, unsigned profiles) {
    struct sdp_nego_config config = {codecs, 4, order, profiles, true};
    struct sdp_audio audio;
    struct err_text err;
    char buf[1024], formats[16];
    struct sdp_writer writer;
    sdp_writer_init(&writer, buf, sizeof buf);
    for (size_t i = 0; i < sdp->media_count; i++)
        sdp_write_refused(&writer, &sdp->media[i]);
    if (sdp_nego_choose(&audio, sdp, &config, &err) != 0)
        return;
    if (audio.media_index >= sdp->media_count || audio.ptime_ms < 10 || audio.ptime_ms > 60)
        abort();
    sdp_nego_formats(&audio, formats);
    sdp_writer_init(&writer, buf, sizeof buf);
    sdp_nego_write(&writer, &audio);
    if (sdp_writer_done(&writer) <= 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct sdp sdp;
    struct err_text err;
    struct span text = span_of(data, size);
    if (sdp_read(&sdp, text, &err) != 0)
        return 0;
    for (size_t i = 0; i < sdp.media_count; i++) {
        check_media(text, &sdp.media[i]);
        sdp_bundled(&sdp, &sdp.media[i]);
    }
    answer(&sdp, SDP_ORDER_OFFER, SDP_PROFILES_DTLS);
    answer(&sdp, SDP_ORDER_OURS, SDP_PROFILES_RTP);
    return 0;
}
