/* operator.h - somebody who adds, removes and changes masters, as
 * `kctl masters` and `kmaster --join` would. */
#pragma once

void operator_start(void);
