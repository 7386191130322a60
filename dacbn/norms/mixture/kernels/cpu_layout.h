/* Memory layout: how a tensor is split into blocks of vectors, and a block into tiles. */

#pragma once

#include "cpu_values.h"

enum { TILE = 128 }; /* vectors */

/* Tiles are processed in place, without packing, if rows are at least this long. */
static const int64_t LONG_ROW = 32 * LANES;

typedef struct {
    int64_t samples, channels, positions;
    int64_t rows, row_stride, columns; /* of the matrix, if a block is several columns */
    int64_t per_channel;               /* lanes that share a channel */
    int64_t blocks, tiles, vectors;    /* in total; per block; per block */
    int by_columns, in_place;
} Layout;

typedef struct { int64_t stride, count; value *start; } Tile;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static Layout layout_of(int64_t samples, int64_t channels, int64_t positions, int channels_last) {
    Layout l = {.samples = samples, .channels = channels, .positions = positions};
    int short_rows = positions < LANES && LANES % positions == 0;
    l.by_columns = channels_last || short_rows;
    if (l.by_columns) {
        l.per_channel = channels_last ? 1 : positions;
        l.rows = channels_last ? samples * positions : samples;
        l.columns = l.row_stride = channels * l.per_channel;
        l.blocks = (l.columns + LANES - 1) / LANES;
        l.vectors = l.rows;
        l.tiles = (l.rows + TILE - 1) / TILE;
        return l;
    }
    l.per_channel = LANES;
    l.blocks = channels;
    l.in_place = positions % LANES == 0 && positions >= LONG_ROW;
    l.vectors = (samples * positions + LANES - 1) / LANES;
    int64_t per_row = (positions / LANES + TILE - 1) / TILE;
    l.tiles = l.in_place ? samples * per_row : (l.vectors + TILE - 1) / TILE;
    return l;
}

/* The number of lanes in use: fewer than LANES only in the last block of columns. */
static int64_t width_of(const Layout *l, int64_t block) {
    return l->by_columns ? least(LANES, l->columns - block * LANES) : LANES;
}

/* The channel of a lane; unused lanes repeat the last channel. */
static int64_t channel_of(const Layout *l, int64_t block, int64_t lane) {
    if (!l->by_columns) return block;
    return least(block * LANES + lane, l->columns - 1) / l->per_channel;
}

/* Copy `count` values of a channel, from value `first` on, into a packed buffer or back. */
static void copy_run(const Layout *l, value *base, value *packed, int64_t first, int64_t count,
                     int unpack) {
    int64_t sample = first / l->positions, position = first % l->positions;
    while (count > 0) {
        int64_t run = least(l->positions - position, count);
        value *in_tensor = base + sample * l->channels * l->positions + position;
        if (unpack) memcpy(in_tensor, packed, run * sizeof(value));
        else memcpy(packed, in_tensor, run * sizeof(value));
        packed += run, count -= run, position = 0, sample++;
    }
}

/* Return tile `t` of a block: in place if its vectors are whole, else in a packed buffer. `copy`
   is 1 to fill the buffer, -1 to write it back, 0 for neither. */
static Tile tile_of(const Layout *l, value *base, int64_t block, int64_t t, value *buffer,
                    int copy) {
    Tile tile = {.stride = LANES, .start = buffer};
    if (l->by_columns) {
        int64_t width = width_of(l, block);
        value *start = base + t * TILE * l->row_stride + block * LANES;
        tile.count = least(TILE, l->rows - t * TILE);
        if (width == LANES) return (Tile){l->row_stride, tile.count, start};
        for (int64_t row = 0; copy && row < tile.count; row++) {
            value *in_tensor = start + row * l->row_stride, *packed = buffer + row * LANES;
            if (copy > 0) memcpy(packed, in_tensor, width * sizeof(value));
            else memcpy(in_tensor, packed, width * sizeof(value));
        }
        return tile;
    }
    base += block * l->positions;
    if (l->in_place) {
        int64_t per_row = (l->positions / LANES + TILE - 1) / TILE;
        int64_t first = t % per_row * TILE;
        tile.count = least(TILE, l->positions / LANES - first);
        tile.start = base + t / per_row * l->channels * l->positions + first * LANES;
        return tile;
    }
    int64_t first = t * TILE * LANES, values = l->samples * l->positions - first;
    tile.count = least(TILE, (values + LANES - 1) / LANES);
    if (copy > 0) memset(buffer + (tile.count - 1) * LANES, 0, LANES * sizeof(value));
    if (copy) copy_run(l, base, buffer, first, least(values, tile.count * LANES), copy < 0);
    return tile;
}

/* Mask of the lanes that hold values in a tile's last vector. */
static vec edge_of(const Layout *l, int64_t t) {
    int64_t left = l->by_columns || t + 1 < l->tiles ? 0 : l->samples * l->positions % LANES;
    vec edge;
    EACH_LANE edge[lane] = left == 0 || lane < left;
    return edge;
}
