/*
 * The twins of the Rust probes: the same functions over statics of their own, named c_MODEL_LOOKUP.
 */
#include "lookups.h"

/* Where Linux keeps the array with 4-level tables; the Rust probe has the same. */
#define VMEMMAP ((struct page *)UINT64_C(0xffffea0000000000))

extern struct section c_flat[NR_SECTIONS];
extern struct section *c_roots[NR_ROOTS];
extern struct page *c_array;
extern const struct bounded *c_bounded;
extern struct page *c_bounded_origin;
extern const struct squeezed *c_squeezed;
extern struct page *c_squeezed_origin;
extern struct section *c_framed_roots[NR_ROOTS];
extern const struct holes *c_holes;

struct section c_flat[NR_SECTIONS];
struct section *c_roots[NR_ROOTS];
struct page *c_array;
const struct bounded *c_bounded;
struct page *c_bounded_origin;
const struct squeezed *c_squeezed;
struct page *c_squeezed_origin;
struct section *c_framed_roots[NR_ROOTS];
const struct holes *c_holes;

#define PROBE(result, name, parameter)     \
    result name(parameter);                \
    __attribute__((noinline)) result name(parameter)

/* A table of sections: the section of a frame without and with checks, and the section of a descriptor. */

#define TABLE_PROBES(model, unchecked, checked, of_page)         \
    PROBE(struct page *, c_##model##_unchecked, uint64_t pfn)    \
    {                                                            \
        return word_page(section_word(unchecked), pfn);          \
    }                                                            \
    PROBE(struct page *, c_##model##_checked, uint64_t pfn)      \
    {                                                            \
        return section_page(checked, pfn);                       \
    }                                                            \
    PROBE(struct page *, c_##model##_online, uint64_t pfn)       \
    {                                                            \
        return section_online_page(checked, pfn);                \
    }                                                            \
    PROBE(bool, c_##model##_valid, uint64_t pfn)                 \
    {                                                            \
        return section_valid(checked, pfn);                      \
    }                                                            \
    PROBE(uint64_t, c_##model##_pfn_of, const struct page *page) \
    {                                                            \
        return word_pfn(section_word(of_page), page);            \
    }

TABLE_PROBES(classic, flat_section_unchecked(c_flat, pfn), flat_section(c_flat, pfn), &c_flat[page_section(page)])
TABLE_PROBES(extreme, rooted_section_unchecked(c_roots, pfn), rooted_section(c_roots, pfn),
             rooted_section_unchecked(c_roots, page_section(page) << PFN_SECTION_SHIFT))

/* The two-level table, exact by frame: the map of holes is asked first. Counted on x86_64 only. */

#define LOADED(pointer) (__atomic_load_n(&pointer, __ATOMIC_ACQUIRE))
#ifdef __x86_64__
#define FRAMED rooted_section(c_framed_roots, pfn)

/* As in a file of its own: callers know nothing of its registers. */
__attribute__((noipa)) bool holes_has(const struct holes *holes, uint64_t pfn)
{
    uint64_t low = 0, high = holes->partials, subsection = pfn >> PFN_SUBSECTION_SHIFT;

    while (low < high) {
        uint64_t middle = (low + high) / 2;

        if (holes->partial[middle] == subsection)
            return holes->frames[middle][pfn / 64 % 8] >> (pfn % 64) & 1;
        if (holes->partial[middle] < subsection)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

PROBE(struct page *, c_byframe_unchecked, uint64_t pfn)
{
    return word_page(section_word(rooted_section_unchecked(c_framed_roots, pfn)), pfn);
}
PROBE(struct page *, c_byframe_checked, uint64_t pfn)
{
    return is_hole(LOADED(c_holes), pfn) ? NULL : section_page(FRAMED, pfn);
}
PROBE(struct page *, c_byframe_online, uint64_t pfn)
{
    return is_hole(LOADED(c_holes), pfn) ? NULL : section_online_page(FRAMED, pfn);
}
PROBE(bool, c_byframe_valid, uint64_t pfn)
{
    return !is_hole(LOADED(c_holes), pfn) && section_valid(FRAMED, pfn);
}
PROBE(uint64_t, c_byframe_pfn_of, const struct page *page)
{
    return word_pfn(section_word(rooted_section_unchecked(c_framed_roots, page_section(page) << PFN_SECTION_SHIFT)), page);
}
#endif

/* vmemmap over the two-level table: its array lies at a constant place, or at one that is found out while booting */

#define ARRAY_PROBES(model, array)                                                          \
    PROBE(struct page *, c_##model##_unchecked, uint64_t pfn)                               \
    {                                                                                       \
        return array + pfn;                                                                 \
    }                                                                                       \
    PROBE(struct page *, c_##model##_checked, uint64_t pfn)                                 \
    {                                                                                       \
        return section_valid(rooted_section(c_roots, pfn), pfn) ? array + pfn : NULL;       \
    }                                                                                       \
    PROBE(struct page *, c_##model##_online, uint64_t pfn)                                  \
    {                                                                                       \
        return section_online(rooted_section(c_roots, pfn), pfn) ? array + pfn : NULL;      \
    }                                                                                       \
    PROBE(bool, c_##model##_valid, uint64_t pfn)                                            \
    {                                                                                       \
        return section_valid(rooted_section(c_roots, pfn), pfn);                            \
    }                                                                                       \
    PROBE(uint64_t, c_##model##_pfn_of, const struct page *page)                            \
    {                                                                                       \
        return (uint64_t)(page - array);                                                    \
    }

ARRAY_PROBES(vmemmap, VMEMMAP)
ARRAY_PROBES(placed, c_array)

/* One array with a bound, whose first descriptor is moved back to that of element 0 (FLATMEM's mem_map); numbered by the
 * frame, or by the frame without a hole (Xen's PDX). */

#define BOUNDED_PROBES(model, origin, find, element, frame)                                 \
    PROBE(struct page *, c_##model##_unchecked, uint64_t pfn)                               \
    {                                                                                       \
        return LOADED(origin) + (element);                                                  \
    }                                                                                       \
    PROBE(struct page *, c_##model##_checked, uint64_t pfn)                                 \
    {                                                                                       \
        return find(record_covers);                                                         \
    }                                                                                       \
    PROBE(struct page *, c_##model##_online, uint64_t pfn)                                  \
    {                                                                                       \
        return find(record_covers_online);                                                  \
    }                                                                                       \
    PROBE(bool, c_##model##_valid, uint64_t pfn)                                            \
    {                                                                                       \
        return find(record_covers) != NULL;                                                 \
    }                                                                                       \
    PROBE(uint64_t, c_##model##_pfn_of, const struct page *page)                            \
    {                                                                                       \
        uint64_t number = (uint64_t)(page - LOADED(origin));                                \
                                                                                            \
        return frame;                                                                       \
    }

#define FLAT_PAGE(covers) flat_page(LOADED(c_bounded), pfn, covers)
#define SQUEEZED_PAGE(covers) squeezed_page(LOADED(c_squeezed), pfn, covers)

BOUNDED_PROBES(flat, c_bounded_origin, FLAT_PAGE, pfn, number)
BOUNDED_PROBES(compressed, c_squeezed_origin, SQUEEZED_PAGE, squeeze(LOADED(c_squeezed), pfn),
               unsqueeze(LOADED(c_squeezed), number))
