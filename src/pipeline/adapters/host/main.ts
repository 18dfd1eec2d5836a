/**
 * The program of a training host: a child process that computes steps over the frozen blocks of one model for its peer
 * (DESIGN decision 5), and ends by itself when the peer is gone.
 */
import { readFile } from 'node:fs/promises'
import type { ModelManifest } from '../../../models/index.ts'
import { createOrtEngine } from '../../../onnx/index.ts'
import { createBlobStore } from '../../../store/index.ts'
import { FrozenBlocks } from '../../../training/index.ts'
import { answerPeer } from './asked-program.ts'
import { MAX_TRAIN_BYTES, TRAIN_HOST } from './protocol.ts'
import type { LoadTraining } from './protocol.ts'
import { TrainRuntime } from './runtime.ts'

let runtime: Promise<TrainRuntime> | undefined
answerPeer(MAX_TRAIN_BYTES, async (message) => {
  if (message.head.type !== TRAIN_HOST.load) return (await runtime)!.ask(message)
  runtime = load(message.control as unknown as LoadTraining)
  await runtime
  return { control: { pid: process.pid }, tensors: new Map() }
})

async function load({ manifestPath, storeDirectory, folder, threads }: LoadTraining): Promise<TrainRuntime> {
  const manifest = JSON.parse(await readFile(manifestPath, 'utf8')) as ModelManifest
  const store = await createBlobStore({ directory: storeDirectory, readOnly: true })
  const options = { threads, optimization: 'basic' as const }
  return new TrainRuntime(new FrozenBlocks({ engine: createOrtEngine(), folder, options, store, manifest }))
}
