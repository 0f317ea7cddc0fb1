/*
 * The lookups as one writes them in C: the same data, the same checks, the same answers as the Rust models.
 *
 * Written for this project. Tables are parameters, so that a compiler sees constants where a kernel has statics.
 */
#ifndef SPARSEMEM_LOOKUPS_H
#define SPARSEMEM_LOOKUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* x86_64: 4 KiB pages, 128 MiB sections, 2 MiB subsections, 46 bits of physical address unless it is told otherwise. */
#ifndef SECTION_NR_BITS
#define SECTION_NR_BITS 19
#endif
#define PFN_SECTION_SHIFT 15
#define PFN_SUBSECTION_SHIFT 9
#define NR_SECTIONS (UINT64_C(1) << SECTION_NR_BITS)
#define SECTIONS_PER_ROOT UINT64_C(256)
#define NR_ROOTS (NR_SECTIONS / SECTIONS_PER_ROOT)

#define WORD_HAS_MEM_MAP UINT64_C(0x02)
#define WORD_ONLINE UINT64_C(0x04)
#define WORD_EARLY UINT64_C(0x08)
#define WORD_FLAGS UINT64_C(0x1f)

struct page {
    uint64_t flags;
    uint32_t references;
    uint32_t section;
    uint64_t rest[6];
};
_Static_assert(sizeof(struct page) == 64, "a descriptor is a cache line");

struct usage {
    uint64_t populated;
    uint64_t online;
    uint64_t pageblocks[8];
    uint64_t origins;
};

/* The word is the memmap's address, moved back by the section's first frame, with flags in its low bits. */
struct section {
    uint64_t word;
    struct usage *usage;
};

static inline uint64_t section_word(const struct section *section)
{
    return __atomic_load_n(&section->word, __ATOMIC_ACQUIRE);
}

static inline struct page *word_page(uint64_t word, uint64_t pfn)
{
    return (struct page *)((word & ~WORD_FLAGS) + pfn * sizeof(struct page));
}

static inline bool bit_of(const uint64_t *bits, uint64_t pfn)
{
    uint64_t at = pfn >> PFN_SUBSECTION_SHIFT & 63;

    return __atomic_load_n(bits, __ATOMIC_ACQUIRE) >> at & 1;
}

/* Whether a frame of a section with this word is valid: early sections are as a whole. */
static inline bool word_covers(const struct section *section, uint64_t word, uint64_t pfn)
{
    const struct usage *usage;

    if (!(word & WORD_HAS_MEM_MAP))
        return false;
    if (word & WORD_EARLY)
        return true;
    usage = __atomic_load_n(&section->usage, __ATOMIC_ACQUIRE);
    return usage && bit_of(&usage->populated, pfn);
}

static inline bool word_covers_online(const struct section *section, uint64_t word, uint64_t pfn)
{
    const struct usage *usage;

    if ((word & (WORD_HAS_MEM_MAP | WORD_ONLINE)) != (WORD_HAS_MEM_MAP | WORD_ONLINE))
        return false;
    usage = __atomic_load_n(&section->usage, __ATOMIC_ACQUIRE);
    return usage && bit_of(&usage->online, pfn);
}

/* The flat table: an entry per possible section. */
static inline const struct section *flat_section(const struct section *table, uint64_t pfn)
{
    uint64_t nr = pfn >> PFN_SECTION_SHIFT;

    return nr < NR_SECTIONS ? &table[nr] : NULL;
}

static inline const struct section *flat_section_unchecked(const struct section *table, uint64_t pfn)
{
    return &table[pfn >> PFN_SECTION_SHIFT];
}

/* The two-level table: roots of a page each. */
static inline const struct section *rooted_section(struct section *const *roots, uint64_t pfn)
{
    uint64_t nr = pfn >> PFN_SECTION_SHIFT;
    const struct section *root;

    if (nr >= NR_SECTIONS)
        return NULL;
    root = __atomic_load_n(&roots[nr / SECTIONS_PER_ROOT], __ATOMIC_ACQUIRE);
    return root ? &root[nr % SECTIONS_PER_ROOT] : NULL;
}

static inline const struct section *rooted_section_unchecked(struct section *const *roots, uint64_t pfn)
{
    uint64_t nr = pfn >> PFN_SECTION_SHIFT;

    return &__atomic_load_n(&roots[nr / SECTIONS_PER_ROOT], __ATOMIC_ACQUIRE)[nr % SECTIONS_PER_ROOT];
}

/* Frame to descriptor, checked: NULL if the frame has none. */
static inline struct page *section_page(const struct section *section, uint64_t pfn)
{
    uint64_t word;

    if (!section)
        return NULL;
    word = section_word(section);
    return word_covers(section, word, pfn) ? word_page(word, pfn) : NULL;
}

static inline struct page *section_online_page(const struct section *section, uint64_t pfn)
{
    uint64_t word;

    if (!section)
        return NULL;
    word = section_word(section);
    return word_covers_online(section, word, pfn) ? word_page(word, pfn) : NULL;
}

static inline bool section_online(const struct section *section, uint64_t pfn)
{
    return section && word_covers_online(section, section_word(section), pfn);
}

static inline bool section_valid(const struct section *section, uint64_t pfn)
{
    return section && word_covers(section, section_word(section), pfn);
}

/* Descriptor to frame, for the models that keep the section number in the descriptor. */
static inline uint64_t word_pfn(uint64_t word, const struct page *page)
{
    return ((uint64_t)page - (word & ~WORD_FLAGS)) / sizeof(struct page);
}

static inline uint64_t page_section(const struct page *page)
{
    return __atomic_load_n(&page->section, __ATOMIC_RELAXED);
}

/* A section of a model of one array. */
struct record {
    uint8_t flags;
    uint32_t node;
    struct usage usage;
};

/* One array with a bound: a descriptor for each of `count` elements from `first` on, and a record for each section of
 * them. The flat array numbers its elements by the frame. */
struct bounded {
    uint64_t first;
    uint64_t count;
    const struct record *records;
    struct page *pages;
};

/* The same whose elements are numbered by the frame without the bits in `hole`, which are zero in all of RAM. */
struct squeezed {
    uint64_t low;
    uint64_t hole;
    uint64_t shift;
    struct bounded array;
};

static inline uint64_t squeeze(const struct squeezed *squeezed, uint64_t pfn)
{
    return (pfn & squeezed->low) | (pfn >> (squeezed->shift & 63) & ~squeezed->low);
}

static inline uint64_t unsqueeze(const struct squeezed *squeezed, uint64_t element)
{
    return (element & squeezed->low) | ((element & ~squeezed->low) << (squeezed->shift & 63));
}

static inline bool record_covers(const struct record *record, uint64_t pfn)
{
    uint8_t flags = __atomic_load_n(&record->flags, __ATOMIC_ACQUIRE);

    return flags & WORD_HAS_MEM_MAP && (flags & WORD_EARLY || bit_of(&record->usage.populated, pfn));
}

static inline bool record_covers_online(const struct record *record, uint64_t pfn)
{
    const uint8_t wanted = WORD_HAS_MEM_MAP | WORD_ONLINE;

    return (__atomic_load_n(&record->flags, __ATOMIC_ACQUIRE) & wanted) == wanted && bit_of(&record->usage.online, pfn);
}

/* Whether a frame whose element lies this far behind the first has an element. */
static inline bool bounded_has(const struct bounded *array, uint64_t offset)
{
    return offset < array->count;
}

static inline bool squeezed_has(const struct squeezed *squeezed, uint64_t pfn, uint64_t offset)
{
    return bounded_has(&squeezed->array, offset) && !(pfn & squeezed->hole);
}

static inline const struct record *bounded_record(const struct bounded *array, uint64_t offset)
{
    return &array->records[offset >> PFN_SECTION_SHIFT];
}

/* The lookups of a frame by `covers`, in an array that may not be there yet. */
static inline struct page *flat_page(const struct bounded *array, uint64_t pfn,
                                     bool (*covers)(const struct record *, uint64_t))
{
    uint64_t offset;

    if (!array)
        return NULL;
    offset = pfn - array->first;
    if (!bounded_has(array, offset) || !covers(bounded_record(array, offset), pfn))
        return NULL;
    return array->pages + offset;
}

static inline struct page *squeezed_page(const struct squeezed *squeezed, uint64_t pfn,
                                         bool (*covers)(const struct record *, uint64_t))
{
    uint64_t offset;

    if (!squeezed)
        return NULL;
    offset = squeeze(squeezed, pfn) - squeezed->array.first;
    if (!squeezed_has(squeezed, pfn, offset) || !covers(bounded_record(&squeezed->array, offset), pfn))
        return NULL;
    return squeezed->array.pages + offset;
}

/*
 * The map of holes: a bit for each subsection from the first on, which is set if the subsection is closed, and the subsections
 * that are memory in part, sorted, each with a bit for each frame.
 */
struct holes {
    uint64_t first;
    const uint64_t *closed;
    uint64_t closed_words;
    const uint64_t *partial;
    uint64_t partials;
    const uint64_t (*frames)[(UINT64_C(1) << PFN_SUBSECTION_SHIFT) / 64];
};

/* Whether a frame of a closed subsection is memory; seldom called. */
bool holes_has(const struct holes *holes, uint64_t pfn);

static inline bool is_hole(const struct holes *holes, uint64_t pfn)
{
    uint64_t at;

    if (holes == NULL)
        return false;
    at = (pfn >> PFN_SUBSECTION_SHIFT) - holes->first;
    if (at / 64 >= holes->closed_words)
        return false;
    if (!(__atomic_load_n(&holes->closed[at / 64], __ATOMIC_RELAXED) >> (at % 64) & 1))
        return false;
    return !holes_has(holes, pfn);
}

#endif
