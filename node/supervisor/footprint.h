/* footprint.h - how little memory a kpod holds while its pod runs. */
#pragma once

/* Let go of what only the start of a pod needed. */
void footprint_shrink(void);
