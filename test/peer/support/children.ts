/** Child processes of this one, as Linux lists them. */
import { readdirSync, readFileSync } from 'node:fs'

/** Ids of the children whose command line has these words. */
export function childrenOf(parent: number, words: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const [, state, ppid] = /\) (\S) (\d+) /.exec(readFileSync(`/proc/${name}/stat`, 'latin1')) ?? []
        const command = readFileSync(`/proc/${name}/cmdline`, 'latin1')
        return state !== 'Z' && Number(ppid) === parent && command.includes(words)
      } catch {
        // It has ended meanwhile.
        return false
      }
    })
    .map(Number)
}
