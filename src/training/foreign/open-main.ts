/** The program that opens a model of somebody else's for the first time: the engine ends its process over some graphs. */
import { createOrtEngine } from '../../onnx/index.ts'
import type { LoadOptions } from '../../onnx/index.ts'
import { runGuardedProgram } from '../../util/index.ts'

await runGuardedProgram(async ({ input }) => {
  const { path, options } = input as { readonly path: string; readonly options: LoadOptions }
  const graph = await createOrtEngine().load(path, options)
  await graph.release()
  return null
})
