/* kpull - pulls one image, then ends. Started by knode, or by hand:
 *
 *   kpull image-pull --store DIR --work NAME REFERENCE
 *
 * A program of its own so that knode, which stays, has none of the libraries
 * in its memory that speak to registries and read what comes from them. */
#include "node/image/image.h"

int main(int argc, char **argv)
{
    return image_pull_main(argc, argv);
}
