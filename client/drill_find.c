/* drill_find.c - is it a cluster that a drill may harm? */
#include "client/drill_run.h"

#include "base/memory.h"

#include <string.h>

static int check_masters(const struct dev *dev, const struct config *config,
                         struct error *why)
{
    char address[DEV_ADDRESS_MAX];
    bool same = config->master_count == dev->master_count;

    for (unsigned i = 0; i < dev->master_count && same; i++)
        same = strcmp(config->masters[i].address,
                      dev_master_address(address, i)) == 0;
    if (!same)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s names other masters than %s/state.json",
                         config->path, dev->folder);
    if (dev->master_count < 3)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "with %u master%s nothing is left to go on; a drill "
                         "needs three",
                         dev->master_count, dev->master_count == 1 ? "" : "s");
    for (unsigned i = 0; i < dev->master_count; i++)
        if (!dev_alive(&dev->masters[i]))
            return error_set(why, ERROR_FAILED_PRECONDITION,
                             "%s does not run as kctl dev up started it",
                             dev->masters[i].name);
    return 0;
}

int drill_find(struct drill *drill, const struct contact *contact, int *lock,
               struct error *why)
{
    const struct config *config = contact_config(contact);
    const char *slash = strrchr(config->path, '/');
    CLEANUP(free_pointer)
    char *folder = slash ? memory_format("%.*s/", (int)(slash - config->path),
                                         config->path)
                         : memory_string(".");
    struct dev *dev = &drill->dev;
    int code;

    code = dev_folder(dev, folder, false, why);
    if (code == 0)
        code = dev_load(dev, why);
    if (code == ERROR_NOT_FOUND)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "a drill harms masters, and %s is of no cluster that "
                         "kctl dev up made: there is no %s/state.json",
                         config->path, dev->folder);
    if (code != 0)
        return code;
    if (dev_lock(dev, lock, why) != 0 || check_masters(dev, config, why) != 0)
        return (int)why->code;
    for (unsigned i = 0; i < dev->master_count; i++)
        if (dev_words_read(&drill->words[i], &dev->masters[i], why) != 0)
            return (int)why->code;
    return drill->fault->check ? drill->fault->check(dev, why) : 0;
}
