/* cluster_names.h - what apps, pods and nodes may be called.
 *
 * Pure. An app's name is a DNS label of at most APP_NAME_MAX characters
 * (RFC 1123: a-z, 0-9 and "-" inside), so that "app-4294967295" is one too and
 * can be a pod's host name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    APP_NAME_MAX = 52,
    POD_NAME_MAX = 63,
    NODE_NAME_MAX = 63,
    NODE_TEXT_MAX = 256, /* of an address, a version, a label's key or value */
};

bool app_name_valid(const char *name);

/* A-Z too, and "." and "_" inside. */
bool node_name_valid(const char *name);

/* N of the pod's name "app-N"; 0 when it is not of that form. */
uint32_t pod_name_number(const char *name, const char *app);

/* What else a node says of itself: UTF-8 of NODE_TEXT_MAX bytes at most. */
bool node_text_valid(const char *text);

/* The last component of the image's path, made a valid app name: lower case,
 * "-" for what is not allowed; "pod" when nothing is left.
 *   registry.local:5000/team/Web_App:1.2 -> web-app
 *   oci:/srv/images/web:1                -> web */
void app_name_of_image(const char *image, char name[APP_NAME_MAX + 1]);
