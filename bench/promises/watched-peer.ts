/** A real peer that tells what it holds open when it gets SIGUSR2. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runProcess } from '../../src/cli/main.ts'
import { FrameChannel } from '../../src/net/channel.ts'
import { HELD } from './resources.ts'
import type { Held } from './resources.ts'

const home = process.argv[process.argv.indexOf('--home') + 1]!
/** Channels with a handler that have not ended: their ends are looked at, and nothing of them is held. */
let streams = 0
const seen = new WeakSet<FrameChannel>()

/* oxlint-disable-next-line typescript/unbound-method -- called with its own `this` below */
const { onFrame } = FrameChannel.prototype
FrameChannel.prototype.onFrame = function counted(this: FrameChannel, ...rest: Parameters<typeof onFrame>): void {
  if (!seen.has(this)) {
    seen.add(this)
    streams++
    void this.closed.then(() => streams--)
  }
  onFrame.apply(this, rest)
}

process.on('SIGUSR2', () => {
  const all = process.getActiveResourcesInfo()
  const count = (...kinds: string[]): number => all.filter((kind) => kinds.includes(kind)).length
  const held: Held = {
    sockets: count('TCPSocketWrap', 'TCPServerWrap', 'TLSWrap'),
    timers: count('Timeout'),
    streams,
  }
  writeFileSync(join(home, HELD), JSON.stringify(held))
})

await runProcess()
