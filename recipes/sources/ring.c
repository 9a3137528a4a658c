#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct ring {
    unsigned char bytes[256];
    size_t head, tail;
};

/* One place stays empty, so that a full ring and an empty one look different. */
bool ring_put(struct ring *r, unsigned char byte)
{
    size_t next = (r->head + 1) % sizeof r->bytes;
    if (next == r->tail)
        return false;
    r->bytes[r->head] = byte;
    r->head = next;
    return true;
}

bool ring_take(struct ring *r, unsigned char *byte)
{
    if (r->tail == r->head)
        return false;
    *byte = r->bytes[r->tail];
    r->tail = (r->tail + 1) % sizeof r->bytes;
    return true;
}

/* Like strlcpy: always ends the copy, and returns how long it would have liked to be. */
size_t copy_text(char *to, const char *from, size_t room)
{
    size_t length = strlen(from);
    if (room > 0) {
        size_t fits = length < room ? length : room - 1;
        memcpy(to, from, fits);
        to[fits] = '\0';
    }
    return length;
}
