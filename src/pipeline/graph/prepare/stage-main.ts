/** The program that takes partitions apart and puts them together: a child process, since they may be anybody's. */
import { stageTask } from '../../../models/index.ts'
import type { StageTask } from '../../../models/index.ts'
import { runGuardedProgram } from '../../../util/index.ts'

await runGuardedProgram(({ input }) => stageTask(input as StageTask))
