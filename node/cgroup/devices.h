/* devices.h - the devices that every pod is given, beside terminals. They are
 * bound into its /dev, and what a control group that denies devices leaves. */
#pragma once

enum { POD_DEVICES = 6 };

/* Of characters, all of them. */
struct pod_device {
    const char *name; /* in /dev */
    unsigned char major, minor;
};

extern const struct pod_device pod_devices[POD_DEVICES];
