/** How fast all threads together read memory: decoding reads each weight once a token, so that this is its limit. */
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

/** More than the caches of most processors, and an eighth of what is free at most. */
const MOST_BYTES = 128 << 20
const LEAST_BYTES = 16 << 20
const SHARE = 1 / 8
/** Beyond it memory is no faster on any machine that was measured. */
const MOST_THREADS = 16
const ROUNDS = 3

/** Bytes a second, the median of three rounds. Takes 0.1 to 0.3 s, and 128 MiB of memory meanwhile. */
export async function memorySpeed(): Promise<number> {
  const threads = Math.min(availableParallelism(), MOST_THREADS)
  const bytes = Math.max(LEAST_BYTES, Math.min(MOST_BYTES, process.availableMemory() * SHARE))
  const each = Math.floor(bytes / threads)
  const readers = Array.from({ length: threads }, () => new Worker(reader(), { workerData: each }))
  try {
    await Promise.all(readers.map(answer))
    const rates: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const started = process.hrtime.bigint()
      const answers = Promise.all(readers.map(answer))
      for (const one of readers) one.postMessage('read', [])
      await answers
      rates.push((each * threads * 1e9) / Number(process.hrtime.bigint() - started))
    }
    return Math.round(rates.sort((a, b) => b - a)[1]!)
  } finally {
    await Promise.all(readers.map((one) => one.terminate()))
  }
}

function answer(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

/** In a checkout the TypeScript file, in the package the JavaScript one beside this file. */
function reader(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return fileURLToPath(new URL(`./memory-reader.${extension}`, import.meta.url))
}
