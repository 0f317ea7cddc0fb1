/*
 * The lookups of C in loops, for measuring time: each looks up every frame of a list.
 *
 * What a lookup finds goes through an empty piece of assembly, as in the Rust loops, so that no compiler can leave a
 * lookup out, join two of them, or do several at once.
 */
#include "lookups.h"

#define KEEP(value) __asm__ volatile("" : : "r"(value) : "memory")

/* Where the tables are. */
struct tables {
    const struct section *flat;
    struct section *const *roots;
};

/* The virtual array's place is a constant, as in the Rust model that this is compared with. */
#define ARRAY ((struct page *)(uint64_t)ARRAY_START)

#define PARAMETERS const struct tables *tables, const uint64_t *items, size_t count

static inline uint64_t rotated(uint64_t value)
{
    return value << 5 | value >> 59;
}

/*
 * Declares a loop over items (frames, or descriptors for the way back), and a function that adds all answers up, so
 * that they can be compared with those of Rust before anything is measured.
 */
#define NUMBERS(name, lookup)                            \
    static void name##_look(PARAMETERS)                  \
    {                                                    \
        const struct tables t = *tables;                 \
                                                         \
        for (size_t i = 0; i < count; i++) {             \
            uint64_t item = items[i];                    \
                                                         \
            KEEP((uint64_t)(lookup));                    \
        }                                                \
        (void)t;                                         \
    }                                                    \
    static uint64_t name##_sum(PARAMETERS)               \
    {                                                    \
        const struct tables t = *tables;                 \
        uint64_t sum = 0;                                \
                                                         \
        for (size_t i = 0; i < count; i++) {             \
            uint64_t item = items[i];                    \
                                                         \
            sum = rotated(sum) + (uint64_t)(lookup);     \
        }                                                \
        (void)t;                                         \
        return sum;                                      \
    }

/* The same for lookups of descriptors, with a loop that reads them. */
#define PAGES(name, lookup)                                                  \
    NUMBERS(name, lookup)                                                    \
    static void name##_touch(PARAMETERS)                                     \
    {                                                                        \
        const struct tables t = *tables;                                     \
                                                                             \
        for (size_t i = 0; i < count; i++) {                                 \
            uint64_t item = items[i];                                        \
            const struct page *page = (lookup);                              \
                                                                             \
            if (page)                                                        \
                KEEP(__atomic_load_n(&page->flags, __ATOMIC_RELAXED));       \
        }                                                                    \
        (void)t;                                                             \
    }

#define ITEM_PAGE ((const struct page *)item)
#define ITEM_SECTION (page_section(ITEM_PAGE))

PAGES(c_classic_unchecked, word_page(section_word(flat_section_unchecked(t.flat, item)), item))
PAGES(c_classic_checked, section_page(flat_section(t.flat, item), item))
NUMBERS(c_classic_valid, section_valid(flat_section(t.flat, item), item))
NUMBERS(c_classic_pfn_of, word_pfn(section_word(&t.flat[ITEM_SECTION]), ITEM_PAGE))

PAGES(c_extreme_unchecked, word_page(section_word(rooted_section_unchecked(t.roots, item)), item))
PAGES(c_extreme_checked, section_page(rooted_section(t.roots, item), item))
NUMBERS(c_extreme_valid, section_valid(rooted_section(t.roots, item), item))
NUMBERS(c_extreme_pfn_of,
        word_pfn(section_word(rooted_section_unchecked(t.roots, ITEM_SECTION << PFN_SECTION_SHIFT)), ITEM_PAGE))

PAGES(c_vmemmap_unchecked, ARRAY + item)
PAGES(c_vmemmap_checked, section_valid(rooted_section(t.roots, item), item) ? ARRAY + item : NULL)
NUMBERS(c_vmemmap_valid, section_valid(rooted_section(t.roots, item), item))
NUMBERS(c_vmemmap_pfn_of, (uint64_t)(ITEM_PAGE - ARRAY))

/* The loops of a lookup, as `src/subjects/twins.rs` has them. */
struct loops {
    void (*look)(PARAMETERS);
    void (*touch)(PARAMETERS);
    uint64_t (*sum)(PARAMETERS);
};

#define LOOPS_OF_PAGES(name) { name##_look, name##_touch, name##_sum }
/* The way back reads what it has to. */
#define LOOPS_OF_WAY_BACK(name) { name##_look, name##_look, name##_sum }
#define LOOPS_OF_NUMBERS(name) { name##_look, NULL, name##_sum }
#define LOOPS_OF_MODEL(name)                   \
    {                                          \
        LOOPS_OF_PAGES(name##_unchecked),      \
        LOOPS_OF_PAGES(name##_checked),        \
        LOOPS_OF_NUMBERS(name##_valid),        \
        LOOPS_OF_WAY_BACK(name##_pfn_of),      \
    }

/* LOOPS is the name for this geometry. */
extern const struct loops LOOPS[3][4];
const struct loops LOOPS[3][4] = {
    LOOPS_OF_MODEL(c_classic),
    LOOPS_OF_MODEL(c_extreme),
    LOOPS_OF_MODEL(c_vmemmap),
};
