/** A thread that packs blocks of one model into the cache, each as it is told; what it does is stageFiles' own work. */
import { parentPort, workerData } from 'node:worker_threads'
import { errorData } from '../../errors.ts'
import { createOrtEngine } from '../../onnx/index.ts'
import { createBlobStore } from '../../store/index.ts'
import type { PackerEvent, PackerInit } from './packers.ts'
import { stageFiles } from './stage-files.ts'

const { manifest, storeDirectory, directory } = workerData as PackerInit
const port = parentPort!
const tell = (event: PackerEvent): void => port.postMessage(event, [])
const store = await createBlobStore({ directory: storeDirectory, readOnly: true })
const files = stageFiles(
  {
    store,
    directory,
    engine: createOrtEngine(),
    packed: (block) => tell({ type: 'packed', block }),
    plain: (name, error) => tell({ type: 'plain', name, ...(error === undefined ? {} : { error: errorData(error) }) }),
  },
  manifest,
)
port.on('message', (block: number) => {
  files.block(block).then(
    () => tell({ type: 'done' }),
    (error: unknown) => tell({ type: 'failed', error: errorData(error) }),
  )
})
tell({ type: 'done' })
