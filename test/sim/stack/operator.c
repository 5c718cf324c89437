#include "test/sim/stack/operator.h"

void operator_start(void)
{
}
