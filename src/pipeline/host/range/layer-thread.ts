/**
 * A thread that measures some of the layers: it prepares its next one while another thread computes. A message is the rows
 * that go into its layer, and is answered with those that come out; null ends it.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { Inbox } from '../../../util/index.ts'
import { createLayerRunner } from './layer-runner.ts'
import type { LayerThreadInit } from './protocol.ts'

const { blocks, ...init } = workerData as LayerThreadInit
const port = parentPort!
const inbox = new Inbox<Float32Array | null>()
port.on('message', (message: Float32Array | null) => inbox.push(message))
const load = await createLayerRunner(init)
for (const block of blocks) {
  const run = await load(block)
  const rows = await inbox.take()
  if (rows === null) break
  port.postMessage(await run(rows), [])
}
port.close()
