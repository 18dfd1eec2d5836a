/** `npm run attacks [ID...]`: each attack with its control. Ends with 1 where a control fails or a defence does not hold. */
import { ATTACKS } from './list.ts'
import type { Outcome } from './attack.ts'

function shown({ what, value, holds }: Outcome): string {
  return `    ${holds ? 'ok  ' : 'FAIL'}  ${what}  (${Number(value.toPrecision(4))})`
}

const wanted = process.argv.slice(2)
let failed = 0
for (const attack of ATTACKS.filter(({ id }) => wanted.length === 0 || wanted.includes(id))) {
  const began = performance.now()
  process.stdout.write(`${attack.id}  ${attack.name}\n  defence off: the attack succeeds\n`)
  const control = await attack.control('all')
  process.stdout.write(`${control.map(shown).join('\n')}\n  defence on: it does not\n`)
  const defended = await attack.defended('all')
  process.stdout.write(`${defended.map(shown).join('\n')}\n  ${((performance.now() - began) / 1000).toFixed(1)} s\n`)
  failed += [...control, ...defended].filter(({ holds }) => !holds).length
}
process.stdout.write(failed === 0 ? 'all hold\n' : `${failed} do not hold\n`)
process.exit(failed === 0 ? 0 : 1)
