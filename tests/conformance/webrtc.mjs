// Two peer connections in a real browser find each other through the server, and again where no direct way is to be found.
//
//   node webrtc.mjs MODULES CHROMIUM URL PAGE
//
// The last line is `N passed, N failed`.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, executablePath, url, file] = process.argv.slice(2);
const { chromium } = createRequire(modules + '/')('playwright-core');
const TEXTS = ['grüße 😀 from a', 'from b "<&>" \\'];
const SIZE = 65536;

let passed = 0;
let failed = 0;
async function check(what, test) {
  try {
    await test();
    passed += 1;
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${what}: ${error.message}`);
  }
}

function same(found, wanted) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(`${JSON.stringify(found)}, and not ${JSON.stringify(wanted)}`);
}

const browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-dev-shm-usage',
    // Candidates are addresses of this machine, and need neither a name service nor a server elsewhere.
    '--disable-features=WebRtcHideLocalIpsWithMdns',
    '--allow-loopback-in-peer-connection',
  ],
});
const page = await browser.newPage();
const complaints = [];
page.on('pageerror', (error) => complaints.push(String(error)));
page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
await page.goto(pathToFileURL(file).href);
const address = url.replace(/^http/, 'ws') + '/ws';
const run = (options) => page.evaluate(([address, options]) => twoPeers(address, options), [address, { texts: TEXTS, ...options }]);

try {
  for (const round of [1, 2, 3]) {
    await check(`two peers find each other, ${round}`, async () => {
      const found = await run({ size: SIZE });
      if (found.ways.includes('relay')) throw new Error(`no channel: ${JSON.stringify(found)}`);
      same(found.texts, [[['channel', TEXTS[1]]], [['channel', TEXTS[0]]]]);
      same(found.bytes, [[SIZE, true]]);
      same(found.polite, [false, true]);
      same(found.ids, [1, 1, true]);
      same(found.state, ['connected', 'connected']);
      if (!found.pairs) throw new Error('no check of a pair of candidates was answered');
      if (found.refused[1]) throw new Error('the polite one refused an offer');
      if (!found.seen.flat().includes('Candidate')) throw new Error(`no candidate came: ${found.seen}`);
    });
  }
  await check('without candidates the data goes through the server', async () => {
    const found = await run({ withheld: true, patience: 2000 });
    same(found.ways, ['relay', 'relay']);
    same(found.texts, [[['relay', TEXTS[1]]], [['relay', TEXTS[0]]]]);
    same(found.pairs, 0);
    same(found.polite, [false, true]);
    if (found.state.includes('connected')) throw new Error(`connected all the same: ${found.state}`);
    if (found.seen.flat().includes('Candidate')) throw new Error('a candidate came');
    if (!found.seen.flat().includes('Answer')) throw new Error('no answer came');
  });
  await check('the page does not complain', async () => same(complaints, []));
} finally {
  await browser.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
