/** A part of a graph, put together from its skeleton and the weights of the store, and loaded in a host of its own. */
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { StageTask } from '../../../models/index.ts'
import { isProcessAlive } from '../../../store/index.ts'
import type { Clock } from '../../../util/index.ts'
import { startGraphHost } from '../host/graph-host.ts'
import type { GraphHost } from '../host/graph-host.ts'
import type { RunHostProcess } from '../../host/host-process.ts'
import { runOnFile } from '../prepare/child.ts'
import type { PartFacts } from './remembered.ts'

export interface BuildPartNeeds {
  readonly clock: Clock
  readonly cache: string
  readonly codeCache: string
  readonly storeDirectory: string
  readonly threads: number
  /** @default a child process */
  readonly runHost?: RunHostProcess | undefined
  /** Has these weights of a model in the store. @throws when no peer has them */
  readonly fetch: (
    digest: string,
    blobs: readonly { readonly address: string; readonly bytes: number }[],
  ) => Promise<void>
  readonly count: (name: string, by?: number) => void
}

/** @throws what fetching, building and loading throw */
export async function startPart(
  needs: BuildPartNeeds,
  key: string,
  facts: PartFacts,
  skeleton: Uint8Array,
): Promise<GraphHost> {
  const { clock, codeCache, threads, runHost, count } = needs
  const path = await buildPart(needs, key, facts, skeleton)
  const host = startGraphHost({ clock, codeCache, runHost })
  try {
    await host.load({ path, threads, optimization: facts.optimization })
  } catch (error) {
    await host.stop()
    throw error
  }
  count('graph_stages_loaded')
  return host
}

/** What killed peers left. */
async function removeUnfinished(parts: string): Promise<void> {
  for (const name of await readdir(parts).catch((): string[] => [])) {
    const pid = /\.making-(\d{1,10})$/.exec(name)?.[1]
    if (pid !== undefined && !isProcessAlive(Number(pid))) await rm(join(parts, name), { recursive: true, force: true })
  }
}

async function buildPart(
  needs: BuildPartNeeds,
  key: string,
  { digest, weights }: PartFacts,
  skeleton: Uint8Array,
): Promise<string> {
  const { cache, storeDirectory, fetch } = needs
  const folder = join(cache, 'graphs', 'stages', key)
  const path = join(folder, 'partition.onnx')
  if ((await stat(path).catch(() => null)) !== null) return path
  await fetch(
    digest,
    weights.map(([, , , bytes, address]) => ({ address, bytes })),
  )
  const making = `${folder}.making-${process.pid}`
  await removeUnfinished(dirname(folder))
  await rm(making, { recursive: true, force: true })
  await mkdir(making, { recursive: true, mode: 0o700 })
  try {
    const from = join(making, 'skeleton.onnx')
    await writeFile(from, skeleton)
    const into = join(making, 'partition.onnx')
    const task: StageTask = { kind: 'put-together', skeleton: from, path: into, store: storeDirectory, weights }
    await runOnFile(needs, 'stage-main', task)
    await rename(making, folder).catch(() => undefined)
    return path
  } finally {
    await rm(making, { recursive: true, force: true })
  }
}
