/** A process of strangers, by the hundred; every second one has the key of the door. */
import { constants, setPriority } from 'node:os'
import { answer } from './child.ts'
import { HABITS, startStranger } from './stranger.ts'
import type { Stranger } from './stranger.ts'
import type { AttackJob, CrowdCounts, CrowdJob } from './talk.ts'

const counts: CrowdCounts = {
  dialled: 0,
  connected: 0,
  knocked: 0,
  welcome: 0,
  refused: 0,
  opened: 0,
  answered: 0,
  invented: 0,
  served: 0,
  records: 0,
  floods: 0,
}
const crowd: Stranger[] = []

/** Every fortieth comes from where the members are, which no ban may shut out; the others from hosts of their own. */
function hostOf(n: number): string {
  return n % 40 === 3 ? '127.0.0.1' : `127.7.${1 + Math.floor(n / 200)}.${1 + (n % 200)}`
}

// It stands for other machines: what it computes is not to be taken from the members.
setPriority(constants.priority.PRIORITY_LOW)

answer(
  {
    async start({ strangers, key }: CrowdJob) {
      for (let n = 0; n < strangers; n++) {
        const habit = HABITS[Math.floor(n / 2) % HABITS.length]!
        const door = n % 2 === 0 ? Buffer.from(key, 'hex') : undefined
        crowd.push(await startStranger({ habit, key: door, host: hostOf(n), counts }))
      }
      // of those with the key: what a hostile bootstrap list is made of
      return crowd.filter((_, n) => n % 2 === 0).map(({ id, address }) => ({ id, address }))
    },
    attack(job: AttackJob) {
      for (const one of crowd) one.attack(job)
    },
    counts: () => counts,
    async stop() {
      await Promise.all(crowd.splice(0).map((one) => one.stop()))
      return counts
    },
  },
  async () => void (await Promise.all(crowd.map((one) => one.stop()))),
)
