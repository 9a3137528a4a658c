"""Frequent words of Turkish and English, written by hand, for `tongue`.

In lower case and without Turkish dots and hooks, as many people type; with the endings and the
short forms of chats. A word that both languages have (`on`, `in`, `var`) may stand in both lists,
and then tells nothing.
"""

TURKISH = """
be ok okay oh an ah eh eyw usta bari helal bir bi biri birini birisi birkac biraz bircok bu bunu
buna bunun bunlar bunlari bunda bundan su sunu suna sunlar o onu ona onun onlar onlari onlara
onlarin onda ondan ben beni bana benim bende benden sen seni sana senin sende senden biz bizi bize
bizim bizde bizden siz sizi size sizin sizde sizden kendi kendini kendine kendin kendim kendisi ne
neyi neye neden nasil nasilsin nasilsiniz niye nicin nerede nerde nereye nereden nerden neresi hangi
hangisi hangisini kim kimi kime kimin kimse kimsin kac kaca kacta kacinci ve veya ya da de ile icin
gibi kadar gore dogru karsi ragmen beri once sonra simdi bugun dun yarin sabah aksam gece ogle hafta
haftaya yil sene ay gun gunler saat dakika dakka zaman zamanlar hemen hala artik henuz daha en cok
az fazla pek oldukca hep her herkes herkese hersey sey seyi seyler hic hicbir bazi bazen butun tum
tumu ama fakat ancak lakin yoksa cunku eger ise isen meger madem sanki belki galiba herhalde sanirim
bence sence kesinlikle elbette tabii tabi tabiki evet evt hayir yok var varsa yoktu vardi degil
degilim degilsin degildi degilmis mi mu miyim misin miyiz misiniz muyum musun musunuz midir mudur
tamam tamamdir tmm olur oldu oldum olmus olan olarak olsun olsa olmak olmaz olmuyor oluyor oluyo
olacak olmali olabilir olmayan olmasi olunca eder ederim edersin ediyor ediyorum ediyo etti ettim
etmek etme etmez edebilir edebilirsin et eden edecek edelim yap yapma yapar yaparim yaparsin yapti
yaptim yapmak yapmaz yapiyor yapiyorum yapiyo yapiyosun yapilir yapacak yapabilir yapabilirim yapsam
yapsak yapalim yapmam gel gelir gelsin geldi geldim gelmek gelmis geliyor geliyorum geliyo gelen
gelecek gelince git gidiyor gidiyorum gidiyo gider gitti gittim gitmek gidecek gidelim gitsin al
alir alirim aldi aldim almak aliyor aliyorum ver verir veririm verdi verdim vermek veriyor vermez
verebilir bak bakar bakarim bakti baktim bakmak bakiyor bakalim bakma soyle soyler soylerim soyledi
soyledim soylemek soyluyor soylesene soylerse der derim dersin dedi dedim demek demis diyor diyorum
diyo diye diyen denir dese sor sorar sorarim sordu sordum sormak soruyor soruyorum soracagim sorucam
soracaktim sorabilir sorabilirsin sorabilirim soru sorun sorular sorunu sorusu sormam bil bilir
bilirim bilirsin bildi bilmek biliyor biliyorum biliyo biliyosun bilmiyorum bilmiyom bilmem bilmez
bilgi bilgisi bilgiyi gor gorur gordu gordum gormek goruyor goruyorum gorusuruz gorusmek gorunur
gorulur iste istedi istedim istek istemek istiyor istiyorum istiyo istersen ister isterim
istemiyorum isterse bulur buldu buldum bulmak buluyor bulunur bulabilirsin kal kalir kaldi kaldim
kalmak kaliyor kalma kalan calis calisir calisan calisma calisti calismak calisiyor calisiyorum
calisiyo calismiyor oku okur okudu okumak okuyor yaz yazar yazdi yazdim yazmak yaziyor yaziyorum
yazi yazan yazilir acar acti actim acmak aciyor acilir kapat kapatir konus konusur konustu konusmak
konusuyor konusalim konusma konu konuda konuyu anla anlar anladi anladim anlamak anliyor anliyorum
anlamadim anlat anlatir anlatmak anlatsana anlatayim anlatabilir anlam anlami dusun dusunur dusundu
dusunmek dusunuyor dusunuyorum dusunce hisset hissediyor hissediyorum his hissi ogren ogrenmek
ogreniyor ogrenir ogrenci ogretmen basla baslar basladi baslamak basliyor baslayalim baslayan bitti
biter bitir bitmek bitiyor bitince ye yedim yemek yemegi yiyor yiyorum ic icer icmek iciyor iciyorum
uyu uyur uyudum uyumak uyuyor uyku uykum sev sever severim sevdi sevdim sevmek seviyor seviyorum
sevgi sevgilim sevgili kullan kullanir kullanmak kullaniyor kullanilir kullanan gerek gerekir
gerekiyor gerekli gerekmez lazim sart mumkun olasi iyi iyiyim iyidir iyisi kotu kotuyum guzel
guzeldi guzelmis super harika muhtesem mukemmel berbat buyuk kucuk yeni eski uzun kisa kisaca hizli
yavas kolay zor zordur sicak soguk ucuz pahali genc yasli mutlu uzgun yorgun yorgunum hasta hastayim
aci acim tok rahat dogal basit karmasik onemli farkli ayni baska boyle oyle yani mesela ornegin
ornek ornekle zaten aslinda gercekten gercek gercegi sadece yalnizca yalniz bile dahi ayrica hatta
keske haydi hadi hade lutfen tesekkur tesekkurler tesekkurederim tsk sagol sagolun saol eyvallah
rica merhaba mrb selam slm selamlar gunaydin geceler aksamlar kanka kankam kanki kardes kardesim abi
abim abla reis hocam hoca dostum dost arkadas arkadasim arkadaslar naber nbr nasi naptin napiyorsun
napiyosun napiyon naptim napcam napalim haber hos hosca hosgeldin bulduk gorusuz bay allah allahim
vallahi valla vallaha walla insallah masallah estagfurullah afiyet gecmis hayirli bayram kutlu
mubarek dogum kutlarim tebrikler tebrik basarilar basari ozur dilerim affet pardon kusura problem
sikinti sikintili canim cicim askim ask hayat hayati yasam yasamak insan insanlar insani insanlarin
kisi kisiler dunya dunyanin dunyada ulke ulkenin sehir sehri ev evde eve evden evim oda odasi okul
okula okulda ders dersi sinav sinavi sinavdan isi isler isten para parasi parayi araba arabasi yol
yolu yolda suyu suyun hava havasi havalar yagmur gunes yildiz deniz dag agac cicek kedi kedim kopek
kopegim kus balik anne annem baba babam aile ailem cocuk cocuklar cocugu kiz oglan oglum erkek kadin
adam kitap kitabi film filmi muzik sarki sarkisi oyun oyunu telefon telefonu telefonum bilgisayar
bilgisayari kod kodu kodun koddaki kodda dosya dosyayi dosyanin dosyalar sayfa sayfasi satir satiri
hata hatasi hatayi hatalar deger degeri degisken degiskeni islev fonksiyon fonksiyonu dongu donguyu
dizi dizisi nesne sinif yontem veri veriyi verileri bellek bellegi islem islemi islemci surum proje
projeyi projede kullanici ekran ayar ayarlar ayarlari ayarlardan yazilim program programi dil dili
sistem sistemi sunucu ag baglanti sonuc sonucu sebep nedeni sekil sekilde boylece dolayi icinde
icine icinden uzerinde uzerine altinda ustunde yaninda arasinda arasindaki disinda onunde arkasinda
tarafindan hakkinda bakimdan yer yeri yerde yere yerine bas basi basinda son sonu sonunda sonraki
onceki ilk ikinci iki uc dort bes alti yedi sekiz dokuz yirmi otuz kirk elli altmis yetmis seksen
doksan yuz bin milyon tane kere kez defa yarim ceyrek adet derece derecede kilo gram metre yuzde
sayi sayisi sayilar toplam renk rengi siyah beyaz kirmizi mavi yesil sari pazartesi sali carsamba
persembe cuma cumartesi pazar ocak subat nisan mayis haziran temmuz agustos eylul ekim kasim aralik
turk turkce turkcesi turkiye turkiyenin ingilizce ingilizcesi anlamina kelime kelimesi cumle cumlesi
harf yardim yardimci yardimi yardimda dinliyorum dinle dinlen dinlenmek bekle bekliyorum bekler
merak merakli unutma unuttum hatirla hatirliyorum inan inaniyorum umarim umut korku korkma
korkuyorum uzulme uzuldum aglama gulme guluyorum gul sakin sinir sinirli kizgin stres stresli moral
moralim bozuk canin sikildi sikiliyor sikildim neyse bosver bosluk takil takma napar buyur soylesem
bilsem gitsem gelsem kalk otur dur durum durumu durumlar duruyor durma birak birakma tut tuttu koy
koydu cikar cikti cik ciktim cikmak cikiyor gir girdi girer girmek giriyor dus dustu kir kirildi kur
kurdu don dondu doner oldugu oldugunu oldugumu olduguna oldugundan ettigi ettigini yaptigi yaptigini
dedigi dedigini istedigin istedigini istedigi bildigim gordugum oldugunda yapinca gidince bakinca
yoruldum yorulma acikti aciktim susadim yatcam yaticam gidicem gelicem yapicam bakicam dicem edicem
alicam vericem olucak olcak gelcek yapcak napicam bilmiyosun gelmiyo gitmiyo calismiyo istemiyo
ediyosun anliyosun seviyosun bisey bisi bisiy bise birsey herseyi hicbisey boyleyse ozellik ozelligi
ozellikle genelde genellikle surekli aninda birlikte beraber tek teker fark farki guc gucu guclu
zayif derin yuzey ses sesi sessiz isik isigi koku tat dokunmak beyin beyni bilinc zihin ruh kalp
kalbi vucut saglik saglikli doktor ilac agri agriyor agrisi karin mide dis ekmek peynir cay cayi
kahve kahveni kahvalti corba pilav tavuk meyve elma tatli tuz seker
"""

ENGLISH = """
the a an and or but nor so yet if then than that this these those there here where when while who
whom whose which what why how i you he she it we they me him her us them my your his its our their
mine yours ours theirs myself yourself itself themselves be am is are was were been being have has
had having do does did doing done will would shall should can could may might must need to of in on
at by for with about against between into through during before after above below from up down out
off over under again further once only own same too very just also even still already always never
often sometimes usually maybe perhaps really quite rather almost enough more most less least many
much few little some any no not none nothing something anything everything nobody somebody anybody
everybody everyone someone anyone each every both either neither other another such all half because
since until although though unless whether however therefore as like yes yeah yep nope nah ok okay
sure please thanks thank thx welcome sorry hello hi hey bye goodbye morning evening night afternoon
today tomorrow yesterday now later soon week weekend month year day days time times hour hours
minute minutes second seconds one two three four five six seven eight nine ten eleven twelve twenty
hundred thousand million first last next good great nice fine bad better best worse worst big small
large long short high low new old young early late easy hard simple difficult fast slow hot cold
warm free full empty open close closed right wrong true false happy sad tired hungry angry sick busy
ready able available clear different important possible real wonderful awesome amazing perfect cool
lovely beautiful pretty funny strange weird interesting boring favorite favourite go goes going gone
went come comes coming came get gets getting got gotten give gives giving gave given take takes
taking took taken make makes making made know knows knowing knew known think thinks thinking thought
see sees seeing saw seen look looks looking looked want wants wanted use uses using used find finds
finding found tell tells telling told ask asks asking asked work works working worked seem seems
feel feels feeling felt try tries trying tried leave leaves leaving left call calls calling called
keep keeps keeping kept let lets begin begins began begun help helps helping helped show shows
showing showed talk talks talking talked turn turns start starts starting started run runs running
ran move moves play plays playing played believe hold bring brings brought happen happens happened
write writes writing wrote written provide sit stand lose lost pay paid meet met include continue
set sets learn learns learning learned change changes changed lead understand understood watch
follow stop stops stopped create creates created speak spoke read reads reading spend grow walk win
won offer offers remember love loves loved consider appear buy bought wait waits waiting serve die
send sends sent build builds building built stay stays fall fell cut reach kill remain suggest raise
pass sell require return returns report decide pull push check checks checked click type types enter
choose save saves store stores add adds added remove removes delete deletes fix fixes fixed break
breaks broke broken sleep slept eat eats eating ate drink wish hope hopes care mean means meant
matter worry explain explains answer answers question questions problem problems word words name
names people person man men woman women child children friend friends family mother father brother
sister boy girl kid kids life world country city house home room school student teacher job money
car water food air head hand hands eye eyes face body heart mind brain book books page line lines
story music song movie game games phone screen computer code file files folder data value values
function functions method variable variables loop list array string number numbers integer object
class error errors bug bugs test tests testing version project server client network request
requests response database query table memory thread threads process program programs software
language languages english turkish user users password account email message messages chat bot human
machine model models system systems example examples idea ideas thing things way ways part parts
place places point points case cases fact reason reasons result results side kind end rest lot bit
piece pieces sense power light sound color colour red blue green white black sun moon star sky rain
snow weather sea river mountain tree flower dog cat bird fish animal coffee tea bread milk sugar
meal breakfast lunch dinner dont doesnt didnt isnt arent wasnt cant couldnt wont wouldnt shouldnt im
youre hes shes theyre ive youve weve ill youll thats whats whos heres theres gonna wanna gotta kinda
sorta dunno ain u ur pls plz btw lol omg idk tbh brb dude bro buddy mate guys anyway besides instead
together around across along behind inside outside near far away back forward without within toward
towards among beyond except per via main branch commit commits merge conflict deadline meeting
meetings feedback sprint task tasks feature features release deploy deployment review reviews update
updates upgrade download upload login logout setting settings button link links website pages app
apps browser tab window windows keyboard mouse screenshot dark mode mood motivation burnout stress
interview exam exams final birthday congratulations office remote freelance startup corporate team
teams manager boss company market business price cheap expensive trade debt technical frontend
backend cache unit boiling depends depending especially probably definitely exactly actually
basically simply quickly slowly clearly easily directly mostly nearly likely certainly absolutely
currently recently finally suddenly ahead whole single double several various common special general
specific strong weak deep heavy quiet loud clean dirty safe dangerous healthy knowledge experience
information education attention decision communication organization situation condition relationship
development management government environment movement treatment moment understanding meaning living
king ring spring tough rough daughter taught caught bright fight sight weight height
"""
