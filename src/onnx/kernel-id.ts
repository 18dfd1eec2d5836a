/**
 * Names the arithmetic of a machine: ONNX Runtime (MLAS) picks its kernels by instruction sets alone, so equal ids give
 * equal bits for equal inputs, and packed weights of one id fit no other.
 */

/** Flags of /proc/cpuinfo that the kernels choose by, in the order in which an id names them. */
const CHOOSING: Readonly<Record<string, readonly string[]>> = {
  x64: [
    'avx2',
    'fma',
    'f16c',
    'avx512f',
    'avx512bw',
    'avx512dq',
    'avx512vl',
    'avx512_vnni',
    'avx_vnni',
    'avx512_bf16',
    'amx_tile',
    'amx_int8',
  ],
  arm64: ['asimdhp', 'asimddp', 'i8mm', 'bf16', 'sve', 'sve2', 'sme'],
}

/** Of what weft itself makes of weights and nodes: the next one gives other bits for equal inputs. 2: offsets in pre-packed forms. */
const REVISION = 2

export interface KernelMachine {
  /** Of ONNX Runtime. */
  readonly version: string
  /** As Node names it. */
  readonly architecture: string
  /** The model's name, for systems that do not list instruction sets. */
  readonly processor: string
  /** Text of /proc/cpuinfo; empty where there is none. */
  readonly cpuinfo: string
}

/** E.g. `ort-1.30.0-x64-avx2+fma+f16c-2`; without a list of instruction sets `ort-1.30.0-arm64-apple-m2-2`. */
export function kernelIdOf(machine: KernelMachine): string {
  const { version, architecture, processor } = machine
  const listed = /^(?:flags|Features)\s*:(.*)$/m.exec(machine.cpuinfo)?.[1]
  const choosing = CHOOSING[architecture]
  if (listed === undefined || choosing === undefined)
    return `ort-${version}-${architecture}-${slug(processor)}-${REVISION}`
  const flags = new Set(listed.trim().split(/\s+/))
  const named = choosing.filter((flag) => flags.has(flag))
  return `ort-${version}-${architecture}-${named.length === 0 ? 'base' : named.join('+')}-${REVISION}`
}

/** Of a stage whose weights could not be pre-packed: their offsets are added by nodes of their own, which gives other bits. */
export function plainKernel(kernel: string): string {
  return `${kernel}+plain`
}

function slug(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')
}
