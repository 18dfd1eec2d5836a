/**
 * The program that opens a model file or an adapter: a child process, since the file may be anybody's (DESIGN decision 5). It reads,
 * checks and stores; the manifest is written by its parent.
 */
import { createBlobStore } from '../../store/index.ts'
import { runGuardedProgram } from '../../util/index.ts'
import { stageAdapter } from '../adapters/stage-adapter.ts'
import { storeBundle } from '../bundle/store-bundle.ts'
import { storeGraph } from '../graph/store-graph.ts'
import { outlineAny } from './outline.ts'
import type { ImportEvent, ImportTask } from './protocol.ts'
import { storeModelFile } from './store-file.ts'
import type { StoreFileEvents } from './store-file.ts'

await runGuardedProgram(async ({ input, emit, signal }) => {
  const task = input as ImportTask
  if (!('storeDirectory' in task)) return 'adapter' in task.job ? stageAdapter(task.job) : outlineAny(task.job)
  const { storeDirectory, job } = task
  const tell = (event: ImportEvent): void => emit(event)
  const added: string[] = []
  const store = await createBlobStore({ directory: storeDirectory })
  const events: StoreFileEvents = {
    progress: (done, total) => tell({ type: 'progress', done, total }),
    added: (address) => {
      added.push(address)
      tell({ type: 'added', address })
    },
  }
  try {
    if ('onnx' in job) return await storeGraph(store, job, events, signal)
    if ('bundle' in job) return await storeBundle(store, job, events, signal)
    return await storeModelFile(store, job, events, signal)
  } catch (error) {
    // Nobody is left who would take back what was begun.
    if (signal.aborted) for (const address of added) await store.remove(address)
    throw error
  }
})
