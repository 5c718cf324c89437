/* unlike.h - preemption on full nodes where no pod is like another. */
#pragma once

/* Print the figures. */
void unlike_measure(void);
