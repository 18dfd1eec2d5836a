/** In a group of its own with little memory: a child process that takes more, then one that is killed. Says what was said of each. */
import { startHostProcess } from '../../../src/pipeline/host/host-process.ts'
import { systemClock } from '../../../src/util/index.ts'

const [codeCache = '', path = ''] = process.argv.slice(2)
const said: (string | null)[] = []
for (const args of [['fill'], ['killed']]) {
  const host = startHostProcess({ clock: systemClock(), codeCache }, { name: 'test host', path, args })
  const { memory, details } = await host.ended
  said.push(memory ?? null, String(details['signal']))
}
process.stdout.write(JSON.stringify(said))
