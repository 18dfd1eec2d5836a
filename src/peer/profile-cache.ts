/** What was measured of this device, kept in the mesh home: it holds for this processor and this version of weft. */
import { readFile } from 'node:fs/promises'
import { availableParallelism, cpus } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { MAX_PROFILE_MODELS } from '../mesh/index.ts'
import { MAX_BATCH_POINTS } from '../placement/index.ts'
import { writeFileAtomic } from '../store/index.ts'
import { VERSION } from './version.ts'

const milliseconds = z.number().min(0).max(86_400_000).nullable()

const schema = z.object({
  schema: z.literal('weft.measures/1'),
  /** What it holds for. */
  device: z.string().max(512),
  trial: z.object({
    speed: z.number().positive().max(1e18),
    kernel: z.string().max(512),
    bandwidth: z.number().min(0).max(1e15),
    /** Processes that wanted to run for each processor, while it was measured. */
    load: z.number().min(0).max(1e6),
  }),
  models: z
    .array(
      z.object({
        digest: z.string().regex(/^[0-9a-f]{64}$/),
        one: milliseconds,
        prefill: milliseconds,
        batch: z
          .array(z.object({ rows: z.number().int().min(2).max(1_024), factor: z.number().min(1).max(1e6) }))
          .max(MAX_BATCH_POINTS)
          .default([]),
      }),
    )
    .max(MAX_PROFILE_MODELS),
})

export type Measures = Omit<z.infer<typeof schema>, 'schema' | 'device'>

/** The processor, how many of it, and the version: another engine may have other kernels. */
export function deviceKey(): string {
  return `${cpus()[0]?.model ?? 'unknown'} x${availableParallelism()} ${process.arch} weft ${VERSION}`
}

/** Undefined when there are none, when they are of another device, and when the file is damaged. */
export async function readMeasures(directory: string): Promise<Measures | undefined> {
  const text = await readFile(pathIn(directory), 'utf8').catch(() => '')
  try {
    const { device, trial, models } = schema.parse(JSON.parse(text))
    return device === deviceKey() ? { trial, models } : undefined
  } catch {
    return undefined
  }
}

export async function writeMeasures(directory: string, measures: Measures): Promise<void> {
  const content = { schema: 'weft.measures/1', device: deviceKey(), ...measures }
  await writeFileAtomic(pathIn(directory), JSON.stringify(content, null, 2))
}

function pathIn(directory: string): string {
  return join(directory, 'measures.json')
}
