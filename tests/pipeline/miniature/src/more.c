#include "shared.h"
int more(void) { return shared; }
