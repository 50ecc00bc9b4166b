/* mkl_intel.c -- MKL gives processors that are not Intel's its AVX2 kernels. It asks this function, which a
 * library that is loaded before it can answer: then it goes by what cpuid says, AVX-512 where there is.
 * Used to give PyTorch its best; no part of Moira. */
int mkl_serv_intel_cpu_true(void);

int mkl_serv_intel_cpu_true(void)
{
    return 1;
}
