// SPDX-License-Identifier: Apache-2.0
// The process's file descriptors. Some libraries end the program when they cannot have one, so a call begins
// only while enough are left for all it will open.
#ifndef IQ_CORE_FDS_H
#define IQ_CORE_FDS_H

#include <stdbool.h>

// What one call opens at most, and what may be opened beside it in the same moment.
enum { FDS_PER_CALL = 48 };

bool fds_left(unsigned count);       // whether `count` (at most 64) more can be opened now. Any thread
unsigned long fds_raise_limit(void); // as far as the system lets us, up to 262,144; returns the limit

#endif
