/** The program that cuts a model file for `weft split`: a child process, since the file may be anybody's. */
import { runGuardedProgram } from '../../../util/index.ts'
import { splitTask } from './split-task.ts'
import type { SplitTask } from './split-task.ts'

await runGuardedProgram(({ input, emit, signal }) => splitTask(input as SplitTask, emit, signal))
