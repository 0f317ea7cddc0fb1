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

#endif
