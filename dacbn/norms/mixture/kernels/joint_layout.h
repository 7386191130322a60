/* Memory layout of activations whose channels are assigned together, and tiles of it.

   A unit is what is assigned: a position of a sample. A tile is some units with all their channels,
   few enough that several passes over it read the cache. It is lines of vectors: where channels are
   next to each other in memory, a line is a unit and its vectors run over channels; where positions
   are, a line is a channel and its vectors run over units. */

#pragma once

#include "cpu_vectors.h"

/* Values of a tile, at most, where it has more than one vector of units; vectors of units. */
enum { TILE_VALUES = 1 << 16, TILE_VECTORS = 64 };

typedef struct {
    int64_t samples, channels, positions, units;
    int64_t wide, room;   /* channels and units, rounded up to whole vectors */
    int64_t height, tiles; /* units of a tile, and how many there are */
    int by_unit, in_place; /* whether a line is a unit; whether lines are whole vectors in memory */
} Layout;

typedef struct {
    float *start;
    int64_t stride, lines, vectors, first, count; /* first unit, and how many */
} Tile;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t whole(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

static Layout layout_of(int64_t samples, int64_t channels, int64_t positions, int by_unit) {
    Layout l = {.samples = samples, .channels = channels, .positions = positions,
                .units = samples * positions, .by_unit = by_unit};
    l.wide = whole(channels), l.room = whole(l.units);
    l.height = least(whole(TILE_VALUES / channels + 1), TILE_VECTORS * LANES);
    if (by_unit) l.height = least(l.height, 16 * LANES);
    l.in_place = (by_unit ? channels : positions) % LANES == 0;
    if (!by_unit && l.in_place) {
        l.height = least(l.height, positions);
        l.tiles = samples * ((positions + l.height - 1) / l.height);
    } else {
        l.height = least(l.height, l.room);
        l.tiles = (l.units + l.height - 1) / l.height;
    }
    return l;
}

/* Values of a buffer that holds a packed tile. */
static int64_t packed_size(const Layout *l) {
    return l->by_unit ? l->height * l->wide : l->channels * l->height;
}

/* Copy a tile's lines into a packed buffer, with zeros after their ends, or back. */
static void copy_lines(const Layout *l, const Tile *t, float *base, int back) {
    float *packed = t->start;
    if (l->by_unit) {
        for (int64_t i = 0; i < t->lines; i++, packed += t->stride) {
            float *line = base + (t->first + i) * l->channels;
            if (back) memcpy(line, packed, l->channels * sizeof(float));
            else memcpy(packed, line, l->channels * sizeof(float));
            if (!back) memset(packed + l->channels, 0, (l->wide - l->channels) * sizeof(float));
        }
        return;
    }
    for (int64_t c = 0; c < l->channels; c++, packed += t->stride) {
        int64_t sample = t->first / l->positions, position = t->first % l->positions;
        for (int64_t done = 0; done < t->count; position = 0, sample++) {
            int64_t run = least(l->positions - position, t->count - done);
            float *line = base + (sample * l->channels + c) * l->positions + position;
            for (int64_t i = 0; i < run; i++) {
                if (back) line[i] = packed[done + i];
                else packed[done + i] = line[i];
            }
            done += run;
        }
        for (int64_t i = t->count; !back && i < t->vectors * LANES; i++) packed[i] = 0;
    }
}

/* Return tile `number`: in place, or in a buffer; `copy` is 1 to fill it, -1 to write it back. */
static Tile tile_of(const Layout *l, const float *values, int64_t number, float *buffer, int copy) {
    float *base = (float *)values;
    Tile t = {.first = number * l->height, .start = buffer};
    if (l->by_unit || !l->in_place) {
        t.count = least(l->height, l->units - t.first);
        t.lines = l->by_unit ? t.count : l->channels;
        t.vectors = (l->by_unit ? l->wide : whole(t.count)) / LANES;
        t.stride = l->by_unit ? l->wide : l->height;
        if (l->in_place) t.start = base + t.first * l->channels;
        else if (copy) copy_lines(l, &t, base, copy < 0);
        return t;
    }
    int64_t each = (l->positions + l->height - 1) / l->height;
    int64_t sample = number / each, position = number % each * l->height;
    t.first = sample * l->positions + position;
    t.count = least(l->height, l->positions - position);
    t.lines = l->channels, t.vectors = t.count / LANES, t.stride = l->positions;
    t.start = base + sample * l->channels * l->positions + position;
    return t;
}
