/** The program of a check: a child process, since the engine's optimizer ends the process over some graphs (1.30). */
import { runGuardedProgram } from '../../util/index.ts'
import { createOrtEngine } from '../engine.ts'
import { runCheck } from './check-task.ts'
import type { CheckTask } from './check-task.ts'

await runGuardedProgram(({ input, emit, signal }) =>
  runCheck({ engine: createOrtEngine(), signal, progress: () => emit(null) }, input as CheckTask),
)
