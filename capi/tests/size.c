/* What size.sh measures: a program that does more with each STEP; 0 is the program without the library. */
#include <stdio.h>

#include "bitwire.h"

static uint8_t bytes[65536], key[32], routing_key[BITWIRE_ROUTING_KEY_LEN];
static float row[4096];

int main(void)
{
    size_t len = fread(bytes, 1, sizeof bytes, stdin);
#if STEP >= 1
    bitwire_frame frame;
    if (bitwire_frame_parse_exact(bytes, len, &frame, NULL) != BITWIRE_OK)
        return 1;
#endif
#if STEP >= 2
    bitwire_authenticated_frame authenticated;
    bitwire_error error;
    if (bitwire_frame_verify(&frame, key, sizeof key, &authenticated, &error) != BITWIRE_OK)
        return 1;
#endif
#if STEP >= 3
    uint64_t shard;
    if (bitwire_frame_routing_key(&frame, routing_key, &error) != BITWIRE_OK ||
        bitwire_routing_key_shard(routing_key, 8, &shard, &error) != BITWIRE_OK || shard != 0)
        return 1;
#endif
#if STEP >= 4
    bitwire_beacon beacon;
    if (bitwire_beacon_open(&authenticated, &beacon, &error) != BITWIRE_OK ||
        bitwire_beacon_row(&beacon, 0, row, 4096, &error) != BITWIRE_OK || beacon.alert)
        return 1;
#endif
#if STEP >= 5
    char text[160];
    bitwire_error_message(&error, text, sizeof text);
    puts(text);
    puts(bitwire_status_name(error.status));
#endif
    return (int)len + bytes[0] + key[0] + routing_key[0] + (int)row[0];
}
