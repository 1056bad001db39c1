// SPDX-License-Identifier: Apache-2.0
// Node's own HTTP, on both sides of the gate.  NODE_PATH has the folder of ws.
//
// node_peer.js serve ADDRESS H1-PORT H2-PORT   backends: HTTP/1.1 with WebSocket, HTTP/2 without TLS
// node_peer.js call ADDRESS:PORT CA NAME       clients of both, over TLS; a line for each thing that
//                                              was tried, exit code 1 if one is not as it must be
'use strict';
const http = require('http'), http2 = require('http2'), https = require('https');
const crypto = require('crypto'), fs = require('fs'), tls = require('tls');
const { WebSocket, WebSocketServer } = require('ws');

const sha = (b) => crypto.createHash('sha256').update(b).digest('hex');
const large = Buffer.alloc(3000000, 'node ');

// A page for a browser: it asks for 40 things at once, posts, talks, and says what it found.
const page = `<!doctype html><title>wait</title><script>
(async () => {
	const all = await Promise.all([...Array(40).keys()].map((i) => fetch('/bytes/' + i * 1000).then((r) => r.blob())));
	const sizes = all.every((b, i) => b.size === i * 1000);
	const back = await (await fetch('/echo', { method: 'POST', body: 'x'.repeat(200000) })).text();
	const protocols = [...new Set(performance.getEntriesByType('resource').map((e) => e.nextHopProtocol))].sort().join();
	const said = await new Promise((done) => {
		const ws = new WebSocket('wss://' + location.host + '/ws');
		ws.onopen = () => ws.send('y'.repeat(100000));
		ws.onmessage = (m) => { done(m.data.length); ws.close(1000); };
		ws.onerror = () => done('error');
	});
	return ['sizes', sizes, 'echo', back.length, 'by', protocols, 'ws', said].join('_');
})().catch((e) => 'failed ' + e).then((found) => fetch('/found/' + encodeURIComponent(found)));
</script><body>`;

function answer(req, res) {
	const [, kind, arg] = req.url.split('/');
	if (kind === 'bytes') {
		res.end(Buffer.alloc(Number(arg), 'b'));
	} else if (kind === 'page') {
		res.setHeader('content-type', 'text/html');
		res.end(page);
	} else if (kind === 'found') { // what the browser says of it
		console.log('found', decodeURIComponent(arg));
		res.end();
	} else if (kind === 'echo') {
		res.writeHead(200, { trailer: 'x-sum' });
		const digest = crypto.createHash('sha256');
		req.on('data', (d) => { digest.update(d); if (!res.write(d)) { req.pause(); res.once('drain', () => req.resume()); } });
		req.on('end', () => { res.addTrailers({ 'x-sum': digest.digest('hex') }); res.end(); });
	} else if (kind === 'early') {
		res.writeEarlyHints({ link: '</a.css>; rel=preload' });
		res.end('late');
	} else {
		res.writeHead(404);
		res.end('nothing');
	}
}

function serve(address, h1, h2) {
	const one = http.createServer({ keepAliveTimeout: 60000 }, answer).listen(Number(h1), address);
	new WebSocketServer({ server: one, path: '/ws' }).on('connection', (ws) => {
		ws.on('message', (m, binary) => (m.toString() === 'bye' ? ws.close(4002, 'as asked') : ws.send(m, { binary })));
	});
	http2.createServer(answer).listen(Number(h2), address);
}

function must(what, good) {
	console.log(good ? 'ok' : 'NOT ok', what);
	if (!good)
		process.exit(1);
}

// A request of either: {status, headers, body, trailers, hints}
function ask1(options, path, method, body) {
	return new Promise((done, fail) => {
		const req = https.request({ ...options, path, method: method || 'GET' }, (res) => {
			const got = [];
			res.on('data', (d) => got.push(d));
			res.on('end', () => done({ status: res.statusCode, body: Buffer.concat(got), trailers: res.trailers, hints }));
			res.on('error', fail);
		});
		let hints = 0;
		req.on('information', (i) => { hints += i.statusCode === 103; });
		req.on('error', fail);
		req.end(body);
	});
}

function ask2(session, path, method, body) {
	return new Promise((done, fail) => {
		const req = session.request({ ':path': path, ':method': method || 'GET' });
		const got = [];
		let status, trailers = {}, hints = 0;
		req.on('headers', (h) => { hints += h[':status'] === 103; });
		req.on('response', (h) => { status = h[':status']; });
		req.on('trailers', (t) => { trailers = t; });
		req.on('data', (d) => got.push(d));
		req.on('end', () => done({ status, body: Buffer.concat(got), trailers, hints }));
		req.on('error', fail);
		req.end(body);
	});
}

async function each(ask, name) {
	const many = await Promise.all([...Array(200).keys()].map((i) => ask(`/bytes/${i}`)));
	must(`${name}: 200 at once`, many.every((r, i) => r.status === 200 && r.body.length === i));
	const back = await ask('/echo', 'POST', large);
	must(`${name}: 3 MB there and back`, back.status === 200 && sha(back.body) === sha(large));
	must(`${name}: a trailer`, back.trailers['x-sum'] === sha(large));
	const none = await ask('/bytes/5000', 'HEAD');
	must(`${name}: HEAD`, none.status === 200 && none.body.length === 0);
	must(`${name}: 404`, (await ask('/none')).status === 404);
	const early = await ask('/early');
	must(`${name}: 103, and the answer`, early.hints === 1 && early.body.toString() === 'late');
}

function talk(where, ca, name) {
	return new Promise((done, fail) => {
		const ws = new WebSocket(`wss://${where}/ws`, { ca, servername: name, headers: { host: name } });
		const sizes = [0, 1, 125, 126, 65536, 1000000];
		let n = 0, pongs = 0;
		ws.on('open', () => { ws.ping(); ws.send(Buffer.alloc(sizes[0], 'w')); });
		ws.on('pong', () => { pongs++; });
		ws.on('message', (m) => {
			must(`ws: ${sizes[n]} bytes`, m.length === sizes[n]);
			n++;
			ws.send(n < sizes.length ? Buffer.alloc(sizes[n], 'w') : 'bye');
		});
		ws.on('close', (code, why) => { must('ws: a ping, the end', pongs === 1 && code === 4002 && why.toString() === 'as asked'); done(); });
		ws.on('error', fail);
	});
}

async function call(where, caFile, name) {
	const ca = fs.readFileSync(caFile), [host, port] = where.split(':');
	const options = { host, port, ca, servername: name, headers: { host: name } };
	for (const prefix of ['', '/h2']) { // a backend of HTTP/1.1, one of HTTP/2
		const agent = new https.Agent({ keepAlive: true, maxSockets: 20 });
		await each((path, method, body) => ask1({ ...options, agent }, prefix + path, method, body), `h1${prefix}`);
		agent.destroy();
		const session = http2.connect(`https://${name}`, { createConnection: () => tls.connect({ ...options, ALPNProtocols: ['h2'] }) });
		await each((path, method, body) => ask2(session, prefix + path, method, body), `h2${prefix}`);
		session.close();
	}
	await talk(where, ca, name);
	console.log('all');
}

const [, , verb, ...rest] = process.argv;
if (verb === 'serve')
	serve(...rest);
else
	call(...rest).catch((e) => { console.log('NOT ok', e); process.exit(1); });
