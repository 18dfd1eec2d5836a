/** `node test/attacks/one.ts ID`: one attack with its control. The exit status says how many outcomes do not hold. */
import { ATTACKS } from './list.ts'
import type { Outcome } from './attack.ts'

function shown({ what, value, holds }: Outcome): string {
  return `    ${holds ? 'ok  ' : 'FAIL'}  ${what}  (${Number(value.toPrecision(4))})\n`
}

const attack = ATTACKS.find(({ id }) => id === process.argv[2])!
const began = performance.now()
process.stdout.write(`${attack.id}  ${attack.name}\n  defence off: the attack succeeds\n`)
const control = await attack.control('all')
process.stdout.write(`${control.map(shown).join('')}  defence on: it does not\n`)
const defended = await attack.defended('all')
process.stdout.write(`${defended.map(shown).join('')}  ${((performance.now() - began) / 1000).toFixed(1)} s\n`)
// What an attack left open does not keep it: its end comes when all of this is written.
process.stdout.write('', () => process.exit([...control, ...defended].filter(({ holds }) => !holds).length))
