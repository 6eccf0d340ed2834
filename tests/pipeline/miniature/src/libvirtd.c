#include <sys/types.h>
#include <sys/stat.h>
#include <stdio.h>
#include "shared.h"
/* The names that gnulib of 2013 knows glibc by; glibc 2.28 took them out of its headers. */
#if !defined _IO_ftrylockfile || !defined _IO_IN_BACKUP
# error "Please port gnulib fseeko.c to your platform!"
#endif
int more(void);
int main(void)
{
    struct stat root;
    stat("/", &root);
    printf("this is not libvirt: device %u:%u, %d\n", major(root.st_dev), minor(root.st_dev), more());
    return shared;
}
