import { execFileSync } from 'node:child_process'
import { test } from 'vitest'
import { startPeer } from '/work/main/test/net/child.ts'
import { until } from '/work/main/test/net/helpers.ts'
const LAB='wcut'
const netlab = (...args) => execFileSync('/work/shared/netlab/netlab', args, { env: { ...process.env, NETLAB: LAB }, encoding: 'utf8', stdio: 'pipe' })
test('x', { timeout: 150000 }, async () => {
  netlab('up','2','--rtt','4'); netlab('link','2','--rtt','30','--loss','5')
  const t0=performance.now(); const log=(...a)=>console.log((performance.now()-t0).toFixed(0),...a)
  const on=(h)=>startPeer({listen:[],discovery:true,watch:true},['ip','netns','exec',`${LAB}-${h}`])
  const [a,b]=await Promise.all([on(1),on(2)])
  const dump=()=>{for(const [n,p] of [['a',a],['b',b]]) log(n, JSON.stringify(p.events.slice(1).map(e=>[e.event, e.value?.why ?? e.value?.slice?.(-6) ?? e.value])))}
  for(let i=0;i<30;i++){await new Promise(r=>setTimeout(r,1000)); if(a.connected().length&&b.connected().length)break}; log('joined?'); dump()
  await new Promise(r=>setTimeout(r,6000))
  netlab('link','2','--rtt','30','--loss','100'); log('cut')
  await new Promise(r=>setTimeout(r,20000)); dump()
  netlab('link','2','--rtt','30'); log('healed')
  await new Promise(r=>setTimeout(r,40000)); dump()
  await Promise.all([a.stop(), b.stop()])
  netlab('down')
})
