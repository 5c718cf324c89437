#include "master/reasons.h"

#include "base/memory.h"
#include "master/placement/explain.h"
#include "master/placer.h"

struct reason {
    const struct spec *spec;
    char *text; /* owned */
};

void reasons_fini(struct reasons *reasons)
{
    for (size_t i = 0; i < reasons->count; i++)
        free(reasons->all[i].text);
    free(reasons->all);
}

const char *reasons_find(struct reasons *reasons, const struct spec *spec)
{
    struct placement_request request = placer_request(spec->message);
    char text[PLACEMENT_SUMMARY_MAX];

    for (size_t i = reasons->count; i-- > 0;) {
        if (reasons->all[i].spec == spec)
            return reasons->all[i].text;
    }
    if (reasons->looks >= REASONS_LOOKS_MAX)
        return NULL;
    reasons->looks += reasons->nodes + 1;
    if ((reasons->count & (reasons->count - 1)) == 0)
        reasons->all = memory_resize(reasons->all, (2 * reasons->count + 1) *
                                                       sizeof *reasons->all);
    placement_summarise(reasons->view, &request, text);
    reasons->all[reasons->count++] = (struct reason){spec, memory_string(text)};
    return reasons->all[reasons->count - 1].text;
}
