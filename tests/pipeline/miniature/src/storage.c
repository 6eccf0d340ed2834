#ifdef COLLIE
const char *virStorageBackendSheepdogProgram = COLLIE;
#endif
int virStorageBackendCount(void) { return 1; }
