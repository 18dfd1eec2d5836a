import { describe, expect, it } from 'vitest'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { kernelIdOf } from '../../src/onnx/kernel-id.ts'

const LINUX = { version: '1.30.0', architecture: 'x64', processor: 'AMD EPYC' }

describe('a kernel id', () => {
  it('names the instruction sets that kernels choose by, whatever their order and the name of the processor', () => {
    const flags = (list: string): string => `processor\t: 0\nmodel name\t: X\nflags\t\t: ${list}\nbugs\t\t: none\n`
    const id = kernelIdOf({ ...LINUX, cpuinfo: flags('fpu sse2 fma avx avx2 f16c rdrand') })
    expect(id).toBe('ort-1.30.0-x64-avx2+fma+f16c-2')
    expect(kernelIdOf({ ...LINUX, processor: 'Other', cpuinfo: flags('f16c avx2 fma fpu') })).toBe(id)
    const wide = kernelIdOf({
      ...LINUX,
      cpuinfo: flags('avx2 fma f16c avx512f avx512vl avx512_vnni avx_vnni amx_int8'),
    })
    expect(wide).toBe('ort-1.30.0-x64-avx2+fma+f16c+avx512f+avx512vl+avx512_vnni+avx_vnni+amx_int8-2')
    expect(kernelIdOf({ ...LINUX, cpuinfo: flags('fpu sse2') })).toBe('ort-1.30.0-x64-base-2')
  })

  it('reads the features of 64-bit Arm', () => {
    const cpuinfo = 'processor\t: 0\nFeatures\t: fp asimd asimdhp asimddp i8mm\n'
    expect(kernelIdOf({ ...LINUX, architecture: 'arm64', cpuinfo })).toBe('ort-1.30.0-arm64-asimdhp+asimddp+i8mm-2')
  })

  it('is the name of the processor where the system lists no instruction sets', () => {
    const id = kernelIdOf({ version: '1.30.0', architecture: 'arm64', processor: 'Apple M2 (Pro)', cpuinfo: '' })
    expect(id).toBe('ort-1.30.0-arm64-apple-m2-pro-2')
  })

  it('of this machine is the same each time', () => {
    expect(createOrtEngine().kernelId).toBe(createOrtEngine().kernelId)
    expect(createOrtEngine().kernelId).toMatch(/^ort-\d+\.\d+\.\d+-\w+-[a-z0-9+_-]+$/)
  })
})
