/** A real peer that takes rows and passes none on, from the fifth of each session on, while the file `lie` lies in its home. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { runProcess } from '../../src/cli/main.ts'
import { HOST } from '../../src/pipeline/host/protocol.ts'
import type { StageHost } from '../../src/pipeline/host/stage-host.ts'
import { Stages } from '../../src/pipeline/index.ts'

const lie = join(process.argv[process.argv.indexOf('--home') + 1]!, 'lie')

/* oxlint-disable-next-line typescript/unbound-method -- called with its own `this` below */
const given = Stages.prototype.host
Stages.prototype.host = async function host(this: Stages, ...range: Parameters<typeof given>): Promise<StageHost> {
  const own = await given.apply(this, range)
  return {
    ...own,
    onFrame: (set) =>
      own.onFrame((message) => {
        if (!(existsSync(lie) && message.type === HOST.rows && message.position > 4)) set(message)
      }),
  }
}

await runProcess()
