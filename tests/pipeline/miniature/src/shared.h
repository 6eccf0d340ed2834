/* A definition in each file that includes it, as old code has them. */
int shared;
