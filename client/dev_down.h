/* dev_down.h - the end of a dev cluster. */
#pragma once

#include "client/dev.h"

#include <stdio.h>

/* Stop and remove all of it; lines about it go to `out`. What cannot be
 * removed is told there, the rest is removed, and the first error returned.
 */
int dev_down(struct dev *dev, FILE *out, struct error *why);
